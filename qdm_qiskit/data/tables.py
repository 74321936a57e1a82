"""scikit-learn's embedded tables: iris, wine, breast cancer, diabetes."""

from __future__ import annotations

from typing import Any, final

from .catalog import DATASETS
from .rows import RowDataset, Rows, table_rows

__all__ = [
    "EmbeddedTable",
    "breast_cancer",
    "diabetes",
    "iris",
    "wine",
]

_TARGETS = {
    "iris": "species",
    "wine": "cultivar",
    "breast-cancer": "diagnosis",
    "diabetes": "progression",
}


@final
class EmbeddedTable(RowDataset):
    """A table that comes with scikit-learn: its features, then its target.

    Args:
        name: Name in :data:`~qdm_qiskit.data.DATASETS`.
    """

    def __init__(self, name: str) -> None:
        info = DATASETS[name]
        self.name, self.classes = name, info.classes
        self.licence, self.source, self.description = info.licence, info.source, info.description

    def rows(self) -> Rows:
        """See :meth:`.RowDataset.rows`."""
        from sklearn import datasets  # most of a second, so only when asked

        target = _TARGETS[self.name]
        if self.name == "diabetes":
            bunch: Any = datasets.load_diabetes(scaled=False)
            columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
            columns["sex"] = [f"sex {code:.0f}" for code in columns["sex"]]
            return table_rows({**columns, target: bunch.target}, target, what=f"'{self.name}'")
        load = {
            "iris": datasets.load_iris,
            "wine": datasets.load_wine,
            "breast-cancer": datasets.load_breast_cancer,
        }[self.name]
        bunch = load()
        columns = dict(zip(map(str, bunch.feature_names), bunch.data.T, strict=True))
        columns[target] = [self.classes[label] for label in bunch.target]
        return table_rows(columns, target, order=self.classes, what=f"'{self.name}'")


iris, wine, breast_cancer, diabetes = (
    EmbeddedTable(name) for name in ("iris", "wine", "breast-cancer", "diabetes")
)
