"""An app with our themes: those of the user's folder are read again as they are written, and the palette shows one before it is taken."""

from __future__ import annotations

from pathlib import Path

from textual.app import App
from textual.command import Command, CommandPalette
from textual.notifications import SeverityLevel

from console.blocking import in_thread
from console.remembered_theme import keep_theme, read_theme
from console.stylesheet import KeptStylesheet
from console.theme import DEFAULT_THEME, UserThemes, install_themes, theme_names, variable_defaults

LOOK_SECONDS = 1.0
"""Between two looks at the user's theme files."""


class ThemedApp(App[object]):
    """Whoever edits a theme sees it at each save; a broken file is told in a line, and the colours stay as they were."""

    def __init__(self, theme_folder: Path, theme: str = "", *, theme_file: Path | None = None) -> None:
        """
        Args:
            theme_folder: The user's; may not exist.
            theme: Name of the first one; empty: the one chosen last, or ours.
            theme_file: Where the one that is chosen is kept for the next start; None: nowhere.
        """
        super().__init__()
        self.stylesheet = KeptStylesheet(variables=self.get_css_variables())
        self._theme_file = theme_file
        self._theme_folder = theme_folder
        self._user_themes = UserThemes(theme_folder)
        self._theme_problems = install_themes(self, theme_folder)
        self._before_preview = ""
        wanted = theme or (read_theme(theme_file) if theme_file is not None else "")
        # One that was chosen once may be gone by now.
        self.theme = wanted if wanted in self.available_themes else DEFAULT_THEME

    @property
    def theme_names(self) -> list[str]:
        """Ours and the user's that can be used, sorted."""
        return [name for name in theme_names(self._theme_folder) if name in self.available_themes]

    @property
    def theme_of_settings(self) -> str:
        """The theme that the settings name, as far as they are known; empty: none."""
        return ""

    def action_theme(self) -> None:
        from console.screens.themes import ThemeScreen

        self.push_screen(ThemeScreen(self.theme_names, self.theme), self.theme_chosen)

    def theme_chosen(self, name: str | None) -> None:
        """A theme was chosen: keep it for the next start, and say what would win over it there."""
        from provision.config_file import config_path

        if name is None:
            return
        set_by_hand = self.theme_of_settings
        if set_by_hand and set_by_hand != name:
            said = f'the next start has theme = "{set_by_hand}" of the settings; to keep this one, write it there: {config_path()}'
        elif self._theme_file is None:
            said = "for now"
        else:
            try:
                keep_theme(self._theme_file, name)
            except OSError as error:
                said = f"it cannot be kept for the next start: {error}"
            else:
                said = "kept for the next start"
        self.notify(said, title=f"theme {name}", timeout=6)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our colours for themes that do not know them."""
        return variable_defaults()

    def on_mount(self) -> None:
        self._tell_theme_problems()
        self.set_interval(LOOK_SECONDS, self._watch_themes)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,  # noqa: ARG002 - what is told has words from outside: brackets in it are brackets
    ) -> None:
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)

    async def _watch_themes(self) -> None:
        if await in_thread(self._user_themes.have_changed, name="themes"):
            self.reload_themes()

    def reload_themes(self) -> None:
        """Read all theme files again, and paint with what the present one says now."""
        self._theme_problems = install_themes(self, self._theme_folder)
        self._tell_theme_problems()
        self.mutate_reactive(App.theme)

    def _tell_theme_problems(self) -> None:
        for problem in self._theme_problems:
            self.notify(problem, title="theme", severity="warning", timeout=10)

    # A theme is shown while the palette's cursor is on it

    def on_command_palette_opened(self) -> None:
        self._before_preview = self.theme

    def on_command_palette_option_highlighted(self, message: CommandPalette.OptionHighlighted) -> None:
        option = message.highlighted_event.option
        words = (option.hit.text or "").split() if isinstance(option, Command) else []
        name = words[1] if len(words) == 2 and words[0] == "theme" else ""
        self.theme = name if name in self.available_themes else self._before_preview

    def on_command_palette_closed(self, message: CommandPalette.Closed) -> None:
        if not message.option_selected:
            self.theme = self._before_preview
