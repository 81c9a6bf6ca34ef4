import Architecture
import Bytes
import Checkpoints
import Kernels
import Quantization
import Synchronization
import Tensors

/// Looks through every weight of a model for numbers that no sound weight has.
struct NumberCheck {
    let source: any ModelSource

    /// - Parameter progress: weights done and in total; called from one thread.
    func run(progress: (Int, Int) -> Void) throws(CrayonError) -> VerificationReport.NumberFindings {
        let roles = source.configuration.parameters.map(\.role)
        var problems: [String] = []
        var checked = 0
        for (index, role) in roles.enumerated() {
            if let weight = try source.weight(role) {
                checked += 1
                if let problem = problem(of: weight) { problems.append("\(role): \(problem)") }
            }
            progress(index + 1, roles.count)
        }
        return VerificationReport.NumberFindings(checkedTensors: checked, problems: problems, passed: problems.isEmpty)
    }

    private func problem(of weight: StoredWeight) -> String? {
        switch weight {
        case .dense(let tensor):
            guard tensor.type.isFloat else { return "type \(tensor.type.rawValue), which is no float" }
        case .nf4(let tensor):
            if let problem = map(tensor.quantMap, ascends: tensor.quantType == .nf4) { return problem }
            if let problem = scales(of: tensor) { return problem }
        case .int8(let tensor):
            if let problem = map(tensor.quantMap, ascends: tensor.quantType == .dynamic8) { return problem }
        }
        return notFinite(in: weight)
    }

    /// The levels of a code rise from -1 to 1, or thereabouts: maps in the wild have been rounded. Those of FP4 and LLM.int8()
    /// are in another order, and the latter has -128 beside -127.
    private func map(_ region: ByteRegion, ascends: Bool) -> String? {
        let levels = region.buffer.withMemoryRebound(to: Float.self) { Array($0) }
        for (index, level) in levels.enumerated() where !(abs(level) <= (ascends ? 1 : 128.0 / 127)) {
            return "quantization map has \(level) at \(index)"
        }
        if ascends, zip(levels, levels.dropFirst()).contains(where: { $0 > $1 }) {
            return "quantization map does not rise"
        }
        return nil
    }

    /// Scales are absolute maxima: finite and not negative, but for what double quantization rounds away.
    private func scales(of tensor: NF4Tensor) -> String? {
        var largest: Float = 0
        var smallest: Float = 0
        let step = 1 << 14
        for start in stride(from: 0, to: tensor.blockCount, by: step) {
            let range = start..<min(start + step, tensor.blockCount)
            let values = [Float](unsafeUninitializedCapacity: range.count) { buffer, count in
                if let base = buffer.baseAddress { tensor.scales(ofBlocks: range, into: base) }
                count = range.count
            }
            for (offset, value) in values.enumerated() {
                guard value.isFinite else { return "scale of block \(start + offset) is \(value)" }
                largest = max(largest, value)
                smallest = min(smallest, value)
            }
        }
        // The dynamic map's coarsest step is 1/128 of the nested absmax on either side.
        guard -smallest <= largest / 32 else { return "a scale of \(smallest), where the largest is \(largest)" }
        return nil
    }

    private func notFinite(in weight: StoredWeight) -> String? {
        let count = weight.shape.count
        let size = 1 << 16
        let first = Mutex<Int?>(nil)
        Parallel.forEachRange(of: count, size: size) { range in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { scratch in
                guard let values = scratch.baseAddress else { return }
                weight.dequantize(elements: range, into: values)
                if let index = (0..<range.count).first(where: { !values[$0].isFinite }) {
                    first.withLock { $0 = min($0 ?? .max, range.lowerBound + index) }
                }
            }
        }
        return first.withLock { $0 }.map { "element \($0) is not finite" }
    }
}
