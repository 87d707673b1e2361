"""What the fees process is told by its environment (`FEES_…`)."""

import tempfile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kit.settings import ServiceSettings, settings_config


class FeesSettings(ServiceSettings):
    """Settings of the fees service beyond those of every service."""

    model_config = settings_config(env_prefix="FEES_")

    catalogue_folder: Path = Path(__file__).parent / "catalogue"
    """Where the dated YAML of rates, adjustments and postal agreements lies."""
    quote_valid_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Days after which a quote is no longer to be paid from."""
    simulation_folder: Path = Path(tempfile.gettempdir()) / "lien-thong-simulations"
    """Where uploaded files of dossiers lie, for a week after their last use."""
    simulation_file_bytes: Annotated[int, Field(gt=0, le=4 * 1024**3)] = 512 * 1024 * 1024
    """The largest file of dossiers that is taken."""
