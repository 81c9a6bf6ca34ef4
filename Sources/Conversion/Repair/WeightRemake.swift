import BundleFormat
import Bytes
import Checkpoints
import Foundation
import Kernels
import Quantization
import Tensors

/// Converts one weight of a source as a bundle has it: the same bytes, where the source is the same.
struct WeightRemake {
    let weight: BundleWeight
    let binding: Binding
    let model: CheckpointModel

    /// - Parameter scratch: a path for a file that is taken away again, beside the output: it has room for it.
    /// - Returns: a bundle's file with that weight alone; nil for a coding that conversions do not make.
    /// - Throws: `CrayonError` as conversions do.
    func run(scratch: String) throws(CrayonError) -> SafetensorsFile? {
        guard binding.shape.dims == weight.coding.shape else { return nil }
        let kept = try kept()
        guard kept != nil || isMadeByConversion else { return nil }
        let writer = try BundleWriter(
            path: scratch, manifest: BundleManifest(model: model.configuration, history: [], weights: [weight]))
        let stream = WeightStream(writer: writer, quantizer: try quantizer(), int8Quantizer: try int8Quantizer())
        do throws(CrayonError) {
            if let kept {
                try stream.write(kept, as: weight, place: model.place)
            } else {
                try stream.write(binding.tensor(), as: weight, place: model.place) { _ in }
            }
            try stream.finish()
        } catch {
            stream.cancel()
            throw error
        }
        defer { unlink(scratch) }
        try writer.finish()
        return try SafetensorsFile(path: scratch)
    }

    /// The weight as the source has it quantized, where the bundle has the same coding.
    private func kept() throws(CrayonError) -> StoredWeight? {
        guard weight.coding.isQuantized else { return nil }
        let stored = try binding.weight()
        if case .dense = stored { return nil }
        var coding = BundleCoding(storing: stored)
        coding.sourceType = weight.coding.sourceType
        coding.codeRule = weight.coding.codeRule
        return coding == weight.coding ? stored : nil
    }

    private var isMadeByConversion: Bool {
        let coding = weight.coding
        switch coding.kind {
        case .plain: return binding.type.isFloat || binding.type == coding.type
        case .packed: return coding.blockSize == PackedTensor.blockElements
        case .nf4: return coding.nestedBlockSize == nil || rule != nil
        case .int8: return rule != nil && (coding.blockSize ?? 0) <= Dynamic8Kernel.largestBlock
        case .fp4: return false
        }
    }

    private var rule: Dynamic8Kernel.Rule? { weight.coding.codeRule.flatMap(Dynamic8Kernel.Rule.init) }

    private func quantizer() throws(CrayonError) -> NF4Quantizer {
        guard weight.coding.kind == .nf4 else { return try NF4Quantizer() }
        return try NF4Quantizer(
            blockSize: weight.coding.blockSize ?? 0, doubleQuantization: weight.coding.nestedBlockSize != nil,
            scaleCodes: rule ?? .bitsandbytesCPU)
    }

    private func int8Quantizer() throws(CrayonError) -> Int8Quantizer {
        guard weight.coding.kind == .int8, let rule else { return try Int8Quantizer() }
        return try Int8Quantizer(blockSize: weight.coding.blockSize ?? 0, rule: rule)
    }
}
