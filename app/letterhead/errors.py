"""What can be wrong with a branding."""

from app.platform.errors import Invalid, NotFound, TooLarge, UnsupportedMedia


class LowContrast(Invalid):
    """Two colours that pages show on each other are too much alike to be read (WCAG 2.2, 1.4.3)."""

    slug, title = "low-contrast", "The contrast is too low"


class LogoNotFound(NotFound):
    """There is no logo."""

    slug, title = "logo-not-found", "No logo"


class LogoTooLarge(TooLarge):
    """The file is over the limit, or the image has more pixels than may be."""

    slug, title = "logo-too-large", "The logo is too large"


class NoLogo(UnsupportedMedia):
    """The file is no PNG, JPEG or WebP."""

    slug, title = "no-logo", "Not an image that can be a logo"


class InvalidLogo(Invalid):
    """The form has no file, or an image that cannot be read."""

    slug, title = "invalid-logo", "The logo cannot be used"
