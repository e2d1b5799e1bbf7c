import re
import statistics
from collections import Counter

text = " ".join(item["json"]["note"] for item in _items)
words = re.findall(r"[a-z']+", text.lower())
return [{
    "json": {
        "words": len(words),
        "most_common": dict(Counter(words).most_common(3)),
        "mean_length": round(statistics.mean(map(len, words)), 2),
        "longest": max(words, key=len),
    }
}]
