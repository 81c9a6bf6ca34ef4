/// How keys and values of positions that a model has seen are kept.
public enum KVCacheFormat: String, CaseIterable, Sendable {
    /// As computed.
    case f32
    /// Rounded to float16: half the memory. What is beyond 65,504 becomes infinite.
    case f16
    /// 8-bit integers with one float32 scale for each position and key-value head (absmax / 127, to the nearest, ties to
    /// even): a little over a quarter of the memory.
    case int8

    /// Bytes of one element.
    var elementBytes: Int {
        switch self {
        case .f32: 4
        case .f16: 2
        case .int8: 1
        }
    }

    /// Bytes of a position's scales in one layer.
    func scaleBytes(groups: Int) -> Int { self == .int8 ? groups * MemoryLayout<Float>.stride : 0 }

    /// Bytes of a position's keys or values in one layer.
    public func bytes(groups: Int, headSize: Int) -> Int {
        groups * headSize * elementBytes + scaleBytes(groups: groups)
    }
}
