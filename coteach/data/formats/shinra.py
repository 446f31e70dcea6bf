"""SHINRA's files, as one of the formats: annotation lines, and a folder of plain pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coteach.data.defects import Defects
from coteach.data.formats.documents import Documents, Format, file_name, new_folder, progress
from coteach.data.formats.losses import Losses
from coteach.data.page_folder import PageFolder, read_page_ids
from coteach.data.shinra import read_annotation_file, write_submission
from coteach.errors import InputError, quote

__all__ = ["Shinra"]


@dataclass(frozen=True)
class Shinra(Format):
    """Annotation lines with page_id, attribute and text_offset; the texts are in a folder."""

    pages: Path | None = None
    """Folder of the plain pages, <page_id>.txt. To write: a new folder; None writes the lines
    alone."""
    page_ids: Path | None = None
    """Read the pages of this text file, one id a line. Without it: those of the file
    <name>.processed.txt beside the annotation lines, or else every page of the folder."""

    def read(self, path: Path, losses: Losses, known: Documents | None = None) -> Documents:
        if known is not None:
            pages = known.pages
        elif self.pages is not None:
            pages = dict(PageFolder(self.pages))
        else:
            raise InputError("pages: expected the folder of the plain pages, got None")
        defects = Defects("stop")
        file = read_annotation_file(path, pages=pages, check_text=False, defects=defects)
        listed = self.page_ids or path.with_name(f"{path.stem}.processed.txt")
        if self.page_ids or listed.exists():
            page_ids = read_page_ids(listed)
            for page_id in page_ids:
                if page_id not in pages:
                    raise InputError.at(listed, None, f"unknown page {quote(page_id)}")
            pages = {page_id: pages[page_id] for page_id in page_ids}
        values = {page_id: spans for page_id, spans in file.values.items() if page_id in pages}
        for page_id, spans in file.values.items():
            if page_id not in pages:
                losses.add("outside of the known pages", f"page {page_id}", len(spans))
        for page_id, title in file.titles.items():
            if title != page_id:
                losses.add("title", f"page {page_id}: {title}")
        for entity_type in sorted(file.entity_types):
            losses.add("ENE", entity_type)
        losses.add("generic term flag", count=file.without_place)
        losses.add("repeated", count=file.repeated)
        careless = defects.notes[str(path)]["with a text not that of the page"]
        losses.add("with a text not that of the page", count=careless)
        return Documents(pages, values)

    def write(self, path: Path, documents: Documents, losses: Losses) -> None:
        lines = (
            (page, [(span, None) for span in sorted(documents.values.get(page_id, ()))])
            for page_id, page in progress(documents.pages.items(), "write", len(documents.pages))
        )
        if self.pages is None:
            for page_id in documents.pages:
                if not documents.values.get(page_id):
                    losses.add("page without a value", page_id)
            write_submission(path, lines)
            return
        with new_folder(self.pages) as folder:
            for page_id, page in documents.pages.items():
                (folder / f"{file_name(page_id)}.txt").write_bytes(page.text.encode())
            write_submission(path, lines)
