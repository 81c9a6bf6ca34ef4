import Architecture
import Bytes

extension Layout {
    /// Crayon queries and projectors under their published names, in a file of their own.
    static let crayonFile: Layout = Layout(
        name: "crayon-file",
        title: "crayon queries and projectors",
        content: .crayon,
        signature: ["{x:seg_prompt_embed.weight|vision_proj.0.weight|vision_proj_for_seg.0.weight}"],
        rules: [
            Rule("seg_prompt_embed.weight", "crayon.semantic.weight"),
            Rule("seg_num_embed.weight", "crayon.numbering.weight"),
            Rule("vision_proj.{i:0|2}.{p}", "projectors.image.{i:0|2}.{p}"),
            Rule("vision_proj_for_seg.{i:0|2}.{p}", "projectors.crayon.{i:0|2}.{p}"),
        ],
        describe: { context throws(CrayonError) in
            // A file may bring projectors only; the tables are then made fresh.
            guard context.has(.semanticTable) || context.has(.numberingTable) else { return PartDescription() }
            return PartDescription(
                crayonTables: .init(
                    width: try context.extent(.semanticTable, axis: 1, rank: 2, layout: crayonFile),
                    semanticRows: try context.extent(.semanticTable, axis: 0, rank: 2, layout: crayonFile),
                    numberingRows: try context.extent(.numberingTable, axis: 0, rank: 2, layout: crayonFile)))
        })
}
