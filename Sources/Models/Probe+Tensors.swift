public import Tensors

extension Probe {
    /// The probe as the tensors of its file format.
    public var tensors: [Tensor] {
        var list = [Tensor(name: "input_ids", shape: Shape([input.tokens.count]), values: input.tokens.map(Int64.init))]
        if let first = input.images.first {
            // One picture has no axis for its number.
            let count = input.images.count
            let leading = count == 1 ? [] : [count]
            list.append(
                Tensor(
                    name: "pixel_values", shape: Shape(leading + [3, first.height, first.width]),
                    values: input.images.flatMap(\.pixels)))
            if let side = input.images.lazy.compactMap(\.crayon).first?.side {
                let grids = input.images.map { $0.crayon ?? .unknown(side: side) }
                for (name, rows) in [
                    ("semantic_map", grids.flatMap(\.semantic)), ("numbering_map", grids.flatMap(\.numbering)),
                ] {
                    list.append(Tensor(name: name, shape: Shape(leading + [side, side]), values: rows.map(Int64.init)))
                }
            }
        }
        list.append(Tensor(name: "logits", shape: Shape([logits.rows, logits.columns]), values: logits.values))
        if let labels {
            list.append(Tensor(name: "labels", shape: Shape([labels.count]), values: labels.map(Int64.init)))
        }
        if let positions {
            list.append(Tensor(name: "positions", shape: Shape([positions.count]), values: positions.map(Int64.init)))
        }
        return list
    }
}
