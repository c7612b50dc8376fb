"""The page of a package index: README.md without links and pictures that only resolve inside the project."""

import re
from pathlib import Path

from setuptools import setup

LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?://)[^)]*\)")

setup(
    long_description=LINK.sub(r"\1", Path("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
