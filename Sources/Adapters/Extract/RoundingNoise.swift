import Bytes
import Quantization
import Tensors

/// How much a stored weight may differ from the number that it was rounded from.
///
/// An element is uniform over the numbers that round to it, so its variance is the squared width of that cell over 12. The
/// cell is the distance between neighbours of a float type, or the part of the axis that a 4-bit or 8-bit code stands for.
struct RoundingNoise {
    private let weight: StoredWeight

    init(_ weight: StoredWeight) { self.weight = weight }

    /// Raises each entry of `variances` to that of the element where it is larger.
    /// - Parameter values: the same elements as float32.
    func raise(
        _ variances: UnsafeMutablePointer<Float>, elements: Range<Int>, values: UnsafePointer<Float>
    ) {
        switch weight {
        case .dense(let tensor): raise(variances, type: tensor.type, count: elements.count, values: values)
        case .nf4(let tensor):
            let widths = Self.widths(tensor.quantMap, count: 16)
            forEachBlock(of: tensor.blockSize, elements) { block, run in
                var scale: Float = 0
                tensor.scales(ofBlocks: block..<block + 1, into: &scale)
                for index in run {
                    let byte = tensor.codes.buffer[index / 2]
                    let width = widths[Int(index % 2 == 0 ? byte >> 4 : byte & 15)] * scale
                    let target = variances + (index - elements.lowerBound)
                    target.pointee = max(target.pointee, width * width / 12)
                }
            }
        case .int8(let tensor):
            let widths = Self.widths(tensor.quantMap, count: 256)
            forEachBlock(of: tensor.blockSize, elements) { block, run in
                let scale = tensor.absmax.buffer.loadUnaligned(fromByteOffset: block * 4, as: Float.self)
                for index in run {
                    let width = widths[Int(tensor.codes.buffer[index])] * scale
                    let target = variances + (index - elements.lowerBound)
                    target.pointee = max(target.pointee, width * width / 12)
                }
            }
        }
    }

    private func raise(
        _ variances: UnsafeMutablePointer<Float>, type: ElementType, count: Int, values: UnsafePointer<Float>
    ) {
        // The distance to the next number is the power of two below the value, times 2^-bits; a float16 has a least one.
        let (epsilon, least): (Float, Float) =
            switch type {
            case .bf16: (0x1p-7, 0)
            case .f16: (0x1p-10, 0x1p-24)
            default: (0x1p-23, 0)
            }
        for index in 0..<count {
            let power = Float(bitPattern: values[index].bitPattern & 0x7F80_0000)
            let width = max(power * epsilon, least)
            variances[index] = max(variances[index], width * width * (1 / 12))
        }
    }

    private func forEachBlock(of size: Int, _ elements: Range<Int>, _ body: (Int, Range<Int>) -> Void) {
        var start = elements.lowerBound
        while start < elements.upperBound {
            let end = min((start / size + 1) * size, elements.upperBound)
            body(start / size, start..<end)
            start = end
        }
    }

    /// Widths of the cells around the entries of a map, in the order of its codes; those at the ends are taken to be as wide
    /// as their inner half is, twice.
    private static func widths(_ map: ByteRegion, count: Int) -> [Float] {
        let values = (0..<count).map { map.buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        let order = values.indices.sorted { values[$0] < values[$1] }
        var widths = [Float](repeating: 0, count: count)
        for (position, index) in order.enumerated() {
            let below = position > 0 ? values[index] - values[order[position - 1]] : nil
            let above = position + 1 < count ? values[order[position + 1]] - values[index] : nil
            widths[index] = ((below ?? above ?? 0) + (above ?? below ?? 0)) / 2
        }
        return widths
    }
}
