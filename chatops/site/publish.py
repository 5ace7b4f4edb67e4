"""A site as the files that are published, with what each is served with: one table for all hosts."""

import hashlib

from chatops.aws.hosting import PageFile
from chatops.site.build import Site
from chatops.site.headers import cache_control, content_type


def page_files(site: Site) -> tuple[PageFile, ...]:
    """The files of a site in the order in which they are uploaded: assets before what names them."""
    return tuple(
        PageFile(
            path=path,
            body=site.files[path],
            content_type=content_type(path),
            cache_control=cache_control(path),
            sha256=hashlib.sha256(site.files[path]).hexdigest(),
        )
        for path in site.upload_order
    )
