"""The PISR teacher: an encoder that sees the HR picture, with the student as decoder."""

from __future__ import annotations

from torch import Tensor, nn

from edge_sr.models.fsrcnn import Fsrcnn


class PisrEncoder(nn.Sequential):
    """HR luminance to a picture of LR size (PISR, ECCV 2020, section 3.2 and its released code).

    [N, 1, scale*H, scale*W] to [N, 1, H, W]. Convolutions 5x5, 5x5 with stride ``scale``, 3x3 and
    3x3 with one-slope PReLUs between them; none after the last, as in the code.
    """

    def __init__(self, scale: int, *, width: int = 56, narrow: int = 12) -> None:
        super().__init__(
            nn.Conv2d(1, width, 5, padding=2),
            nn.PReLU(),
            nn.Conv2d(width, width, 5, stride=scale, padding=2),
            nn.PReLU(),
            nn.Conv2d(width, narrow, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(narrow, 1, 3, padding=1),
        )


class PisrTeacher(nn.Module):
    """Encoder G and decoder F; the decoder has the student's architecture (PISR, fig. 2)."""

    def __init__(self, decoder: Fsrcnn) -> None:
        super().__init__()
        self.encoder = PisrEncoder(decoder.spec.scale)
        self.decoder = decoder

    def forward(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        """The imitated LR picture G(Y) and its reconstruction F(G(Y))."""
        lr = self.encoder(hr)
        return lr, self.decoder(lr)

    def features(self, hr: Tensor) -> Tensor:
        """Decoder features of G(Y), the privileged information that the student imitates."""
        return self.decoder.features(self.encoder(hr))
