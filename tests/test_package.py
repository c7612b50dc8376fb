"""What a package index and a citation tool are given is true: no dead link, one version, the published paper."""

import re
import subprocess
import sys
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
import yaml

import hssl

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> Message:
    """As a build of the project writes it."""
    built = tmp_path_factory.mktemp("metadata")
    build = (
        "import sys; from setuptools import build_meta; print(build_meta.prepare_metadata_for_build_wheel(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", build, str(built)], cwd=ROOT, check=True, capture_output=True)
    [file] = built.glob("*.dist-info/METADATA")
    return Parser().parsestr(file.read_text(encoding="utf-8"))


def test_the_page_of_an_index_is_the_readme_without_links_into_the_project(metadata: Message) -> None:
    page, readme = metadata.get_payload(), (ROOT / "README.md").read_text(encoding="utf-8")
    assert isinstance(page, str)
    relative = r"\]\((?!https?://)"
    assert re.search(relative, readme)  # the control: there are some to lose
    assert not re.search(relative, page)
    assert re.findall(r"\]\(https?://[^)]*\)", page) == re.findall(r"\]\(https?://[^)]*\)", readme)
    assert re.findall(r"```python\n.*?```", page, re.DOTALL) == re.findall(r"```python\n.*?```", readme, re.DOTALL)


def test_the_metadata_names_authors_licence_and_pythons(metadata: Message) -> None:
    assert metadata["Author"] == "The hssl authors"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Version"] == hssl.__version__
    classifiers = metadata.get_all("Classifier", [])
    assert "Programming Language :: Python :: 3.11" in classifiers
    assert not any(classifier.startswith("License ::") for classifier in classifiers)  # refused beside an expression


def test_the_citation_is_of_this_version_and_of_the_published_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == hssl.__version__
    paper = citation["preferred-citation"]
    assert (paper["journal"], paper["year"]) == ("Transactions on Machine Learning Research", 2023)
    assert paper["url"].endswith("tEKqQgbwbf")
    assert [author["family-names"] for author in paper["authors"]] == ["Keller", "Suau", "Zappella"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert paper["url"] in readme
    assert all(str(identifier["value"]) in readme for identifier in paper["identifiers"])
