"""Catalogues: one schema, tables and their files, regions, masks, maps, pictures, report, manifest."""

from neanias_ml.catalogue.directory import RESULT_FILES, OutputDirectory
from neanias_ml.catalogue.manifest import ModelIdentity, RunRecord
from neanias_ml.catalogue.schema import COMPONENTS, ISLANDS, OBJECTS, TABLES, TableSchema
from neanias_ml.catalogue.schema_column import Column
from neanias_ml.catalogue.tables import CatalogueTables, build_tables, provenance_facts, table_from_columns
from neanias_ml.catalogue.write import write_catalogue
from neanias_ml.catalogue.writers import write_ecsv, write_parquet, write_votable

__all__ = [
    "COMPONENTS",
    "ISLANDS",
    "OBJECTS",
    "RESULT_FILES",
    "TABLES",
    "CatalogueTables",
    "Column",
    "ModelIdentity",
    "OutputDirectory",
    "RunRecord",
    "TableSchema",
    "build_tables",
    "provenance_facts",
    "table_from_columns",
    "write_catalogue",
    "write_ecsv",
    "write_parquet",
    "write_votable",
]
