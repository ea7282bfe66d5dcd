"""Data as a museum, a trap network and a pest team keep them: drawn images, and tables in their manner."""

import sqlite3
from datetime import date, datetime

import numpy as np
import openpyxl
import xlwt
from PIL import Image

COLOURS = [(200, 60, 60), (60, 180, 60), (60, 60, 200)]


def draw(path, kind, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(np.array(COLOURS[kind]) + rng.normal(0, 40, (20, 24, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def comma(value):
    return f"{value:.1f}".replace(".", ",")


def museum(folder):
    """A workbook whose second sheet is the collection: catalogue numbers with zeros, dates as serial numbers."""
    rng = np.random.default_rng(0)
    names = ["Aglais urticae", "Vanessa atalanta", "Inachis io"]
    book = openpyxl.Workbook()
    book.active.title = "Lies mich"
    book.active.append(["Sammlung Tagfalter, Stand 2019"])
    sheet = book.create_sheet("Sammlung")
    sheet.append(
        ["Inv.-Nr.", "Bilddatei", "Art", "Gattung", "Fundort", "Höhe [m]", "Funddatum", "Flügellänge [mm]",
         "präpariert", "Geschlecht", None]
    )  # fmt: skip
    for n in range(66):
        kind = n % 3
        name = f"DSC_{n:04d}.JPG"
        draw(folder / "Fotos" / name, kind, rng)
        valley = n // 3 % 11
        sheet.append(
            [f"{n * 7:06d}", name, names[kind], names[kind].split()[0], f"Tal {valley + 1}", 400 + valley * 50,
             42500 + n // 3 * 3, comma(rng.normal(20 + 3 * kind, 1)), date(2017, 1, 1 + n % 28), "mw?"[n % 2], None]
        )  # fmt: skip
    book.save(folder / "Sammlung.xlsx")
    return folder / "Sammlung.xlsx"


def traps(folder):
    """Semicolons, decimal commas, French and Spanish headers, several images of a specimen, Namibia."""
    rng = np.random.default_rng(1)
    lines = ["fichier;espèce;piège;spécimen;fecha de captura;país;latitude;longitude;longueur (mm)"]
    for n in range(88):
        event, kind = n // 2 % 11, n // 2 % 3
        name, label = f"{event:02d}/{n:03d}.png", ["mouche", "guêpe", "punaise"][kind]
        draw(folder / "photos" / name, kind, rng)
        lines.append(
            f"{name};{label};{event:03d};{n // 2:05d};{event + 1:02d}/07/2016;"
            f"{['NA', 'ES', 'FR'][event % 3]};"
            f"{comma(40 + event / 2)};{comma(2 + event / 3)};{comma(rng.normal(4 + kind))}"
        )
    (folder / "relevés.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode("cp1252"))
    return folder / "relevés.csv"


def _pest_rows(folder):
    rng = np.random.default_rng(2)
    rows = [["archivo", "plaga", "parcela", "fecha", "hora", "conteo", "observaciones"]]
    for n in range(72):
        plot, kind = n // 3 % 9, n % 3
        name = f"{['pulgon', 'trips', 'mosca blanca'][kind]}/IMG{n}.png"
        draw(folder / "fotos" / name, kind, rng)
        rows.append(
            [f"fotos\\{name}".replace("/", "\\"), ["Pulgón", "Trips", "Mosca blanca"][kind], plot + 1,
             datetime(2019, 5, 1 + plot), f"{8 + plot}:{n % 60:02d}", int(rng.poisson(3 + kind)), ""]
        )  # fmt: skip
    return rows


def pests(folder):
    """An old .xls workbook beside folders of images."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("Hoja1")
    day = xlwt.easyxf(num_format_str="DD/MM/YYYY")
    for place, row in enumerate(_pest_rows(folder)):
        for column, value in enumerate(row):
            sheet.write(place, column, value, *([day] if isinstance(value, datetime) else []))
    book.save(str(folder / "registro.xls"))
    return folder


def pest_database(folder):
    """The same in a database with a second table of users."""
    header, *rows = _pest_rows(folder)
    with sqlite3.connect(folder / "registro.sqlite") as base:
        base.execute("CREATE TABLE usuarios (id, nombre)")
        base.execute(f"CREATE TABLE registros ({', '.join(header)})")
        base.executemany(
            f"INSERT INTO registros VALUES ({', '.join('?' * len(header))})",
            [[value.strftime("%Y-%m-%d") if isinstance(value, datetime) else value for value in row] for row in rows],
        )
    return folder / "registro.sqlite"
