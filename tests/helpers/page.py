"""A page taken apart, and a text that would do harm in one."""

from html.parser import HTMLParser

ATTACK = (
    '</script><script>alert(1)</script><img src=http://evil.example/x onerror="alert(2)">\' %{x} <lora:a:1>'
)


class Page(HTMLParser):
    """Every tag with its attributes, the texts of scripts, and all other text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.words += data
