"""Which file each input of the conversion benchmark stands for. Apart from what makes the inputs: that loads numpy."""

from __future__ import annotations

from datetime import date

from engine.model import Cell, File

DAY = date(2024, 5, 1)
FILES = {
    "trades": File(Cell(DAY, "trades", "binance"), "BTCUSDT"),
    "book_snapshot_5": File(Cell(DAY, "book_snapshot_5", "binance-futures"), "BTCUSDT"),
    "derivative_ticker": File(Cell(DAY, "derivative_ticker", "binance-futures"), "BTCUSDT"),
    "options_chain": File(Cell(DAY, "options_chain", "okex-options"), "OPTIONS"),
}
