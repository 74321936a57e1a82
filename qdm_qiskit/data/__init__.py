"""Images and rows to learn from: data sets, read safely, split by seed and brought to one size.

::

    contract.py    what a data set is: a name, its makers, a licence, images
    datasets.py    data sets by name and as objects; the door for those of other packages
    catalog.py     this package's data sets, their publishers, and ways to obtain them
    digits.py      scikit-learn's embedded 8 x 8 digits
    mnist.py       MNIST and Fashion-MNIST, from the IDX files that idx.py reads
    cifar.py       CIFAR-10, out of its binary archive
    npz.py         a user's own images
    rows.py        rows of numbers and categories as small pictures, and back
    tables.py      scikit-learn's embedded tables
    csv_files.py   a user's own table
    series.py      time series made here
    ising.py       spin configurations, sampled and counted exactly
    showers.py     calorimeter-like showers made here
    download.py    places in which files are looked for, and the checksummed download
    images.py      ImageSet and Split, validation, resizing, grey and RGB
    loading.py     load_dataset: all of the above in one call
    record.py      the data of a run: hashes, files, classes; a comparison with others
    places.py      absolute places of files, and the same data in another place
    states.py      ensembles of quantum states, as arrays of the same kind
    grid.py        images side by side in a PNG file

Images are numpy arrays ``(count, channels, height, width)``, float32 in [0, 1]; labels are int64
and keep the data set's own values. Nothing here imports torch, and a data file is never unpickled,
extracted or believed about its own size.
"""

from .catalog import DATASETS, DatasetInfo, RemoteFile
from .contract import Dataset, LabelledImages
from .csv_files import CsvTable
from .datasets import (
    DATASET_DOOR,
    find_dataset,
    row_format,
)
from .download import cache_folder
from .grid import grid_png, image_grid, save_grid
from .idx import read_idx
from .images import (
    ImageSet,
    Split,
    check_image_size,
    convert_channels,
    resize,
    validate_images,
)
from .ising import IsingSpins, exact_ising, ising_samples
from .loading import load_dataset, load_with_source
from .record import DataFile, DataRecord, LoadedData, record_from_dict
from .row_format import Column, RowFormat
from .rows import RowDataset, Rows, table_rows
from .states import STATE_ENSEMBLES, images_to_states, load_states, states_to_images

__all__ = [
    "DATASETS",
    "DATASET_DOOR",
    "STATE_ENSEMBLES",
    "Column",
    "CsvTable",
    "DataFile",
    "DataRecord",
    "Dataset",
    "DatasetInfo",
    "ImageSet",
    "IsingSpins",
    "LabelledImages",
    "LoadedData",
    "RemoteFile",
    "RowDataset",
    "RowFormat",
    "Rows",
    "Split",
    "cache_folder",
    "check_image_size",
    "convert_channels",
    "exact_ising",
    "find_dataset",
    "grid_png",
    "image_grid",
    "images_to_states",
    "ising_samples",
    "load_dataset",
    "load_states",
    "load_with_source",
    "read_idx",
    "record_from_dict",
    "resize",
    "row_format",
    "save_grid",
    "states_to_images",
    "table_rows",
    "validate_images",
]
