public import Bytes
import Checkpoints
public import Models
import Tensors

/// Sequences as a safetensors file, for another program that is to learn from the same: `Formats/probe.md`.
public enum BatchFile {
    /// - Throws: `CrayonError` when the file cannot be written.
    public static func write(_ sequences: [TrainingSequence], to path: String) throws(CrayonError) {
        var tensors: [Tensor] = []
        for (number, sequence) in sequences.enumerated() {
            func integers(_ name: String, _ dims: [Int], _ values: [Int]) {
                tensors.append(Tensor(name: "\(number).\(name)", shape: Shape(dims), values: values.map(Int64.init)))
            }
            let input = sequence.input
            integers("input_ids", [input.tokens.count], input.tokens)
            integers("labels", [sequence.labels.count], sequence.labels)
            guard let first = input.images.first else { continue }
            tensors.append(
                Tensor(
                    name: "\(number).pixel_values", shape: Shape([input.images.count, 3, first.height, first.width]),
                    values: input.images.flatMap(\.pixels)))
            guard let side = input.images.lazy.compactMap(\.crayon).first?.side else { continue }
            let grids = input.images.map { $0.crayon ?? .unknown(side: side) }
            integers("semantic_map", [grids.count, side, side], grids.flatMap(\.semantic))
            integers("numbering_map", [grids.count, side, side], grids.flatMap(\.numbering))
        }
        try SafetensorsWriter.write(tensors, to: path)
    }
}
