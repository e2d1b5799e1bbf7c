# Totals per customer, the way a Code node in "Run Once for All Items" does it
from collections import defaultdict

totals = defaultdict(lambda: {"orders": 0, "amount": 0.0})
for item in _items:
    order = item["json"]
    row = totals[order["customer"]]
    row["orders"] += 1
    row["amount"] += order["quantity"] * order["price"]

print("customers:", len(totals))
return [
    {"json": {"customer": name, "orders": row["orders"], "amount": round(row["amount"], 2)}}
    for name, row in sorted(totals.items(), key=lambda pair: -pair[1]["amount"])
]
