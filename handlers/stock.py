"""What happens when a stock import fails."""

import logging

from relay import StockImportErrorOccurred, on

logger = logging.getLogger(__name__)


@on("stock_import_error_occurred")
def log_stock_import_error(event: StockImportErrorOccurred) -> None:
    """Log that an import failed, and when, so that the team that owns the stock feed is alerted.

    The receiver's line of the same event holds its content, as far as LOG_CONTENT allows.
    """
    logger.error("A stock import failed at %s (event %s)", event.occurred_at, event.event_id[:12])
