"""The data sets that exist: who published them, what they hold, how they are obtained."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DATASETS",
    "DatasetInfo",
    "RemoteFile",
]


@dataclass(frozen=True)
class RemoteFile:
    """One published file."""

    name: str
    """File name, as published and as kept in the cache."""
    url: str
    """Address at which its publisher, or the publisher's successor, offers it."""
    checksum: str
    """``algorithm:hexadecimal digest``, from the public record; pooch compares it."""


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Facts about a data set before it is loaded."""

    name: str
    """The name that :func:`~qdm_qiskit.data.load_dataset` takes."""
    description: str
    """One line for people."""
    classes: tuple[str, ...]
    """Names of the classes; a name's position is the label in the data."""
    native_size: int
    """Height and width of the published images, in pixels."""
    channels: int
    """Channels of the published images: 1 is grey, 3 is RGB."""
    count: int
    """Images or rows in all, training and test together."""
    published_split: bool
    """True if training and test images are published apart; if not, the seed decides."""
    source: str
    """Its makers."""
    licence: str
    """Terms under which its publisher offers it, or that none are stated."""
    obtained: str
    """Way onto this machine, in one sentence."""
    files: tuple[RemoteFile, ...] = ()
    """The published files; empty if the data set is embedded in an installed package."""
    columns: int = 0
    """Columns of a data set of rows; 0 if it holds images. Its native size is that of a row's cells."""
    folder_names: tuple[str, ...] = ()
    """Folders below a user's data folder in which its files may lie."""
    system_folder: str | None = None
    """Folder into which an operating system's package puts its files."""
    system_package: str | None = None
    """The name of that (Debian) package."""


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_IN_ORDER = "Files in a given folder, else a checksummed download"
_EMBEDDED = "Embedded in scikit-learn; nothing to download."
_MADE = "Made by this package, the same each time; nothing to download."
_UCI = "CC BY 4.0, as the UCI Machine Learning Repository states"

DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(
        name="digits",
        description="Handwritten digits, real 8 x 8 scans in 17 grey levels",
        classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
        native_size=8,
        channels=1,
        count=1797,
        published_split=False,
        source="E. Alpaydin and C. Kaynak, UCI Optical Recognition of Handwritten Digits (1998)",
        licence="CC BY 4.0, as the UCI Machine Learning Repository states",
        obtained="Embedded in scikit-learn; nothing to download.",
    ),
    "fashion-mnist": DatasetInfo(
        name="fashion-mnist",
        description="Photographs of clothing, 28 x 28 grey",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        native_size=28,
        channels=1,
        count=70_000,
        published_split=True,
        source="H. Xiao, K. Rasul and R. Vollgraf, arXiv:1708.07747",
        licence="MIT",
        obtained=(
            "Files in a given folder, else the Debian package dataset-fashion-mnist, "
            "else a checksummed download (31 MB)."
        ),
        files=(
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                _FASHION + "train-images-idx3-ubyte.gz",
                "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                _FASHION + "train-labels-idx1-ubyte.gz",
                "md5:25c81989df183df01b3e8a0aad5dffbe",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                _FASHION + "t10k-images-idx3-ubyte.gz",
                "md5:bef4ecab320f06d8554ea6380940ec79",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                _FASHION + "t10k-labels-idx1-ubyte.gz",
                "md5:bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        folder_names=("fashion-mnist", "FashionMNIST/raw"),
        system_folder="/usr/share/datasets/fashion-mnist",
        system_package="dataset-fashion-mnist",
    ),
    "mnist": DatasetInfo(
        name="mnist",
        description="Handwritten digits, 28 x 28 grey",
        classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
        native_size=28,
        channels=1,
        count=70_000,
        published_split=True,
        source="Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database (1998)",
        licence="none stated by its publishers; CC BY-SA 3.0 is what others commonly give",
        obtained=f"{_IN_ORDER} (12 MB).",
        files=(
            RemoteFile(
                "train-images-idx3-ubyte.gz",
                _MNIST + "train-images-idx3-ubyte.gz",
                "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            RemoteFile(
                "train-labels-idx1-ubyte.gz",
                _MNIST + "train-labels-idx1-ubyte.gz",
                "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            RemoteFile(
                "t10k-images-idx3-ubyte.gz",
                _MNIST + "t10k-images-idx3-ubyte.gz",
                "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            RemoteFile(
                "t10k-labels-idx1-ubyte.gz",
                _MNIST + "t10k-labels-idx1-ubyte.gz",
                "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        folder_names=("mnist", "MNIST/raw"),
    ),
    "cifar10": DatasetInfo(
        name="cifar10",
        description="Photographs of animals and vehicles, 32 x 32 RGB",
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        native_size=32,
        channels=3,
        count=60_000,
        published_split=True,
        source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)",
        licence="none stated by its publisher",
        obtained=f"{_IN_ORDER} (170 MB); the binary version, which holds no pickles.",
        files=(
            RemoteFile(
                "cifar-10-binary.tar.gz",
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "md5:c32a1d4ab5d03f1284b67883e8d87530",
            ),
        ),
        folder_names=("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
    ),
    "iris": DatasetInfo(
        name="iris",
        description="Table: lengths and widths of flowers, and their species",
        classes=("setosa", "versicolor", "virginica"),
        native_size=3,
        channels=1,
        count=150,
        columns=5,
        published_split=False,
        source="R. A. Fisher, The use of multiple measurements in taxonomic problems (1936)",
        licence=_UCI,
        obtained=_EMBEDDED,
    ),
    "wine": DatasetInfo(
        name="wine",
        description="Table: chemical analysis of wines, and their cultivar",
        classes=("class_0", "class_1", "class_2"),
        native_size=4,
        channels=1,
        count=178,
        columns=14,
        published_split=False,
        source="S. Aeberhard and M. Forina, UCI Wine (1991)",
        licence=_UCI,
        obtained=_EMBEDDED,
    ),
    "breast-cancer": DatasetInfo(
        name="breast-cancer",
        description="Table: shapes of cell nuclei, and the diagnosis",
        classes=("malignant", "benign"),
        native_size=6,
        channels=1,
        count=569,
        columns=31,
        published_split=False,
        source="W. Wolberg et al., UCI Breast Cancer Wisconsin (Diagnostic), 1995",
        licence=_UCI,
        obtained=_EMBEDDED,
    ),
    "diabetes": DatasetInfo(
        name="diabetes",
        description="Table: age, sex, blood, and progression of the disease after a year",
        classes=("low", "high"),
        native_size=4,
        channels=1,
        count=442,
        columns=11,
        published_split=False,
        source="B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, Least Angle Regression (2004)",
        licence="none stated by its publishers",
        obtained=_EMBEDDED,
    ),
    "waves": DatasetInfo(
        name="waves",
        description="Series: 16 values of a noisy sine of random phase, slow or fast",
        classes=("slow", "fast"),
        native_size=4,
        channels=1,
        count=1600,
        columns=16,
        published_split=False,
        source="made by this package",
        licence="Apache-2.0",
        obtained=_MADE,
    ),
    "ar2": DatasetInfo(
        name="ar2",
        description="Series: 16 values of an autoregressive process of order 2, slow or fast",
        classes=("slow", "fast"),
        native_size=4,
        channels=1,
        count=1600,
        columns=16,
        published_split=False,
        source="made by this package",
        licence="Apache-2.0",
        obtained=_MADE,
    ),
    "ising": DatasetInfo(
        name="ising",
        description="Spins: Ising model on a periodic 4 x 4 lattice, below, near and above T_c",
        classes=("T=1.7", "T=2.3", "T=3.5"),
        native_size=4,
        channels=1,
        count=1800,
        columns=16,
        published_split=False,
        source="made by this package (Wolff and Metropolis)",
        licence="Apache-2.0",
        obtained=_MADE,
    ),
    "showers": DatasetInfo(
        name="showers",
        description="Deposits: electron and photon showers in 6 layers of 3 rings, a toy calorimeter",
        classes=("electron", "photon"),
        native_size=5,
        channels=1,
        count=1400,
        columns=18,
        published_split=False,
        source="made by this package",
        licence="Apache-2.0",
        obtained=_MADE,
    ),
}
"""Every data set by name. A user's own need no entry: ``npz:PATH`` is images, ``csv:PATH`` a table."""
