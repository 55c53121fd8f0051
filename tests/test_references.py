"""What docstrings, comments and the README name exists: files by their path, classes by their module."""
import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "jitgrad").rglob("*.py"))
ELSEWHERE = {"script.py", "train.py", "file.py"}


def prose(path: Path) -> str:
    """The comments and docstrings of a file."""
    text = path.read_text()
    found = [t.string for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            found.append(ast.get_docstring(node) or "")
    return "\n".join(found)


def texts() -> dict[str, str]:
    found = {str(p.relative_to(ROOT)): prose(p) for p in FILES}
    found["README.md"] = (ROOT / "README.md").read_text()
    return found


def test_files_named_in_prose_exist():
    known = [f"/{p.relative_to(ROOT)}" for p in [*FILES, *ROOT.glob("tests/*.py"), *ROOT.glob("benchmarks/*.py")]]
    missing = [f"{where}: {name}" for where, text in texts().items() for name in re.findall(r"[\w/]+\.py\b", text)
               if name not in ELSEWHERE and not any(k.endswith(f"/{name.lstrip('/')}") for k in known)]
    assert not missing, "\n".join(missing)


def test_classes_named_in_prose_are_where_it_says():
    defined: dict[str, set[str]] = {}
    for p in FILES:
        names = {n.name for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, (ast.ClassDef, ast.alias))}
        for module in {p.stem, p.parent.name}:
            defined.setdefault(module, set()).update(names)
    missing = [f"{where}: {module}.{name}" for where, text in texts().items()
               for module, name in re.findall(r"(?<![\w.])([a-z_]+)\.([A-Z]\w*[a-z]\w*)\b", text)
               if module in defined and name not in defined[module]]
    assert not missing, "\n".join(missing)
