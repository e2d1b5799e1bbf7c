# "Run Once for Each Item": one item in, one out; None drops it
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta


@dataclass
class Invoice:
    number: str
    due: datetime


order = _item["json"]
if order["quantity"] == 0:
    return None
placed = datetime.fromisoformat(order["placed"])
order["total"] = order["quantity"] * order["price"]
return {"json": {**order, "invoice": asdict(Invoice(f"R-{order['id']:04d}", placed + timedelta(days=14)))}}
