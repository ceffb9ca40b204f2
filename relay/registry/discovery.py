"""The marked functions in the modules of a package; what keeps a module from being one is told with file and line."""

import ast
import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from relay.errors import HandlerError
from relay.registry.marks import mark_of, place_of


def marked_functions(package: ModuleType) -> Iterator[Callable[..., None]]:
    """Yield them by module and line. Raises HandlerError for a module that cannot be imported.

    Raises HandlerError, too, for a marked function that another definition of its name replaces: it would never run.
    """
    for info in sorted(pkgutil.walk_packages(package.__path__, f"{package.__name__}."), key=lambda info: info.name):
        module = imported(info.name)
        _refuse_replaced(module)
        for value in vars(module).values():
            # A function imported from another module is collected there.
            if mark_of(value) and value.__module__ == module.__name__:
                yield value


def overlooked(package: ModuleType) -> Iterator[str]:
    """Yield what never runs in the package: each module without a handler, each folder that is no package.

    A module whose name begins with an underscore helps others, and is none of these.
    """
    defining = {function.__module__ for function in marked_functions(package)}
    for info in sorted(pkgutil.walk_packages(package.__path__, f"{package.__name__}."), key=lambda info: info.name):
        name = info.name.rpartition(".")[2]
        if not info.ispkg and not name.startswith("_") and info.name not in defining:
            yield (
                f"{info.name.replace('.', '/')}.py: defines no handler; put @on(...) above a function, "
                f"or name the file _{name}.py if it only helps others"
            )
    for place in package.__path__:
        folders = {file.parent for file in Path(place).rglob("*.py") if not (file.parent / "__init__.py").exists()}
        for folder in sorted(folders):
            shown = folder.relative_to(Path(place).parent)
            yield f"{shown}: is not loaded, since it has no __init__.py; make that file, or move the folder"


def imported(name: str) -> ModuleType:
    """Return the module of this name. Raises HandlerError with the file and the line that cannot be imported."""
    try:
        return importlib.import_module(name)
    except HandlerError:
        raise
    except SyntaxError as error:
        place = place_of(error.filename or name, error.lineno or 1)
        raise HandlerError(f"{place}: {type(error).__name__}: {error.msg}") from error
    except Exception as error:
        # Whatever a handler's module raises while it loads is its author's to mend.
        raise HandlerError(f"{_place_in(name, error)}: {type(error).__name__}: {error}") from error


def services_of(package: ModuleType) -> list[object]:
    """Return what the package's `services()` offers to its handlers; nothing where it has no such function.

    Raises HandlerError with the file and the line that failed.
    """
    make = getattr(package, "services", None)
    if make is None:
        return []
    try:
        return list(make())
    except Exception as error:
        # Whatever a customer's client raises while it is made is its author's to mend.
        raise HandlerError(f"{_place_in(package.__name__, error)}: {type(error).__name__}: {error}") from error


def _place_in(name: str, error: Exception) -> str:
    """Return the line of the handlers' own code that failed, or the module's name where there is none."""
    package = name.partition(".")[0]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if package in Path(frame.filename).parts]
    return place_of(frames[-1].filename, frames[-1].lineno or 1) if frames else f"{name} cannot be imported"


def _refuse_replaced(module: ModuleType) -> None:
    if module.__file__ is None or not module.__file__.endswith(".py"):
        return
    definitions: dict[str, ast.FunctionDef] = {}
    for statement in ast.parse(Path(module.__file__).read_bytes()).body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        earlier = definitions.get(statement.name)
        if earlier is not None:
            raise HandlerError(
                f"{place_of(module.__file__, earlier.lineno)} {earlier.name}: never runs, since line "
                f"{statement.lineno} defines the same name again; give one of them another name"
            )
        if isinstance(statement, ast.FunctionDef) and any(_is_on(one) for one in statement.decorator_list):
            definitions[statement.name] = statement


def _is_on(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == "on"
