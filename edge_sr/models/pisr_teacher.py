"""Teachers of PISR's student: ``features(lr, hr)`` are what it imitates, of ``channels``."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edge_sr.models.fsrcnn import Fsrcnn
from edge_sr.models.network import Network


class PisrEncoder(nn.Sequential):
    """HR to a picture of LR size (PISR, ECCV 2020, section 3.2 and its released code).

    [N, C, scale*H, scale*W] to [N, C, H, W], C = ``channels``. Convolutions 5x5, 5x5 with stride
    ``scale``, 3x3 and 3x3 with one-slope PReLUs between them; none after the last, as in the code.
    """

    def __init__(self, scale: int, *, channels: int = 1, width: int = 56, narrow: int = 12) -> None:
        super().__init__(
            nn.Conv2d(channels, width, 5, padding=2),
            nn.PReLU(),
            nn.Conv2d(width, width, 5, stride=scale, padding=2),
            nn.PReLU(),
            nn.Conv2d(width, narrow, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(narrow, channels, 3, padding=1),
        )


class PisrTeacher(nn.Module):
    """Encoder G and decoder F; the decoder has the student's architecture (PISR, fig. 2)."""

    def __init__(self, decoder: Network) -> None:
        super().__init__()
        self.encoder = PisrEncoder(decoder.spec.scale, channels=decoder.spec.samples)
        self.decoder = decoder
        self.channels = decoder.feature_channels[-1]

    def forward(self, hr: Tensor) -> tuple[Tensor, Tensor]:
        """The imitated LR picture G(Y) and its reconstruction F(G(Y))."""
        lr = self.encoder(hr)
        return lr, self.decoder(lr)

    def features(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Decoder features of G(Y), the privileged information that the student imitates."""
        del lr
        return self.decoder.features(self.encoder(hr))


class PlainTeacher(nn.Module):
    """A teacher without hourglass: the student's layers on HR, a 9x9 convolution as tail.

    PISR, table 1, second row. How its features on the HR grid meet the student's the paper does not
    say; here they are averaged over each LR pixel.
    """

    def __init__(self, network: Fsrcnn) -> None:
        super().__init__()
        self.layers = nn.Sequential(network.extract, network.shrink, network.map, network.expand)
        (self.channels,) = network.feature_channels
        self.tail = nn.Conv2d(self.channels, 1, 9, padding=4)
        self.scale = network.spec.scale

    def forward(self, hr: Tensor) -> Tensor:
        """HR reconstructed from itself."""
        sr: Tensor = self.tail(self.layers(hr))
        return sr

    def features(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Features of HR on the LR grid."""
        del lr
        return functional.avg_pool2d(self.layers(hr), self.scale)


class LrTeacher(nn.Module):
    """An ordinary network as teacher, which sees what the student sees (PISR, table D)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.channels = network.feature_channels[-1]

    def features(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Features of LR."""
        del hr
        return self.network.features(lr)


Teacher = PisrTeacher | PlainTeacher | LrTeacher
