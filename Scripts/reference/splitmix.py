"""Crayon's random numbers: SplitMix64, with a generator of its own for each name."""

MASK = (1 << 64) - 1


class SplitMix64:
    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    @classmethod
    def named(cls, seed: int, name: str) -> "SplitMix64":
        digest = 0xCBF29CE484222325
        for byte in name.encode():
            digest = (digest ^ byte) * 0x100000001B3 & MASK
        return cls(seed ^ digest)

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        return z ^ (z >> 31)

    def uniform(self) -> float:
        return (self.next() >> 11) * 2.0**-53
