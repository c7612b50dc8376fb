"""What every section of a configuration is made of. Imports no torch."""

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Named, typed, described and validated fields that do not change; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class PartSettings(Section):
    """The settings of one part of a run: which one it is, and what that one declares.

    A part is made with what surrounds it and, by keyword, the fields of its `Settings` (`hssl.parts.build`).
    """

    name: str = Field(description="one of ours, or the import path of your own: my_module:MyClass")
