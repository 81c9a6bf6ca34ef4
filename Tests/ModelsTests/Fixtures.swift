import Architecture
import Bytes
import Checkpoints
import Foundation
import Models
import Quantization
import Tensors

/// The models of `Tests/Fixtures/models`, made by `Scripts/reference`.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/models")

    static func path(_ name: String) -> String { folder.appending(path: name).path }
}

/// Norm of the difference over the norm of the reference.
func relativeError(_ value: Matrix, _ reference: Matrix) -> Double {
    precondition(value.rows == reference.rows && value.columns == reference.columns)
    var difference = 0.0
    var norm = 0.0
    for (a, b) in zip(value.values, reference.values) {
        difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
        norm += Double(b) * Double(b)
    }
    return (difference / norm).squareRoot()
}

/// A source whose backbone matrices pass through NF4 with double quantization.
struct QuantizedSource: ModelSource {
    let base: any ModelSource
    /// Dequantized to the type that the weight had, as bitsandbytes does, and kept so.
    let isRounded: Bool
    var place: String { base.place }
    var configuration: ModelConfiguration { base.configuration }
    var files: [AuxiliaryFile] { base.files }
    private let matrices: Set<Role>

    init(_ base: any ModelSource, rounded: Bool = false) {
        self.base = base
        isRounded = rounded
        matrices = Set(base.configuration.parameters.filter { $0.isMatrix && $0.part == .backbone }.map(\.role))
    }

    func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        guard let weight = try base.weight(role) else { return nil }
        guard matrices.contains(role), case .dense(let tensor) = weight else { return weight }
        let quantized = try NF4Quantizer().quantize(tensor)
        guard isRounded else { return .nf4(quantized) }
        let buffer = ByteBuffer(count: tensor.region.count)
        quantized.dequantize(elements: 0..<tensor.shape.count, as: tensor.type, into: buffer.pointer)
        return .dense(Tensor(name: tensor.name, type: tensor.type, shape: tensor.shape, region: buffer.region))
    }
}

extension Tensor {
    /// The elements of an F32 tensor.
    var floats: [Float] {
        (0..<shape.count).map { region.buffer.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
    }
}
