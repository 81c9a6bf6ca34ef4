import ArgumentParser
import CrayonKit

/// What a model's files leave open, or what the user wants otherwise.
struct ModelOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The folder of an OpenAI CLIP checkpoint.", valueName: "dir"))
    var vision: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Crayon queries and projectors. Without it, fresh ones are drawn from --seed.", valueName: "file"))
    var crayon: String?

    @Option(
        name: .long,
        help: ArgumentHelp("A PEFT LoRA folder as a low-rank set; repeat for each set.", valueName: "name=dir"))
    var adapter: [String] = []

    @Option(name: .long, help: ArgumentHelp("Side, in pixels, of the picture that CLIP sees.", valueName: "n"))
    var imageSize: Int?

    @Option(name: .long, help: ArgumentHelp("CLIP's attention heads, where config.json is silent.", valueName: "n"))
    var visionHeads: Int?

    @Option(name: .long, help: ArgumentHelp("Prompt template: \(Self.templates).", valueName: "name"))
    var template: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Read the checkpoint or the backbone as this layout, whatever its config.json says: \(Self.layouts).",
            valueName: "name"))
    var layout: String?

    @Option(name: .long, help: ArgumentHelp("Seed of fresh crayon queries and projectors.", valueName: "n"))
    var seed: UInt64 = 0

    private static let layouts = Layout.all.filter { $0.content == .model || $0.content == .backbone }
        .map(\.name).joined(separator: ", ")
    private static let templates = PromptTemplate.builtIn.map(\.name).joined(separator: ", ")

    /// Whether a part is given on its own, so that the path beside it is a backbone.
    var hasParts: Bool { vision != nil || crayon != nil || !adapter.isEmpty }

    func validate() throws {
        if crayon != nil, vision == nil {
            throw ValidationError("--crayon needs --vision: queries are painted over a picture.")
        }
        for item in adapter where Self.split(item) == nil {
            throw ValidationError("--adapter \(item); expected NAME=DIR")
        }
        if let template, !PromptTemplate.builtIn.contains(where: { $0.name == template }) {
            throw ValidationError("--template \(template); expected one of \(Self.templates)")
        }
        for (option, value) in [("--image-size", imageSize), ("--vision-heads", visionHeads)] {
            if let value, value < 1 { throw ValidationError("\(option) \(value); expected at least 1") }
        }
    }

    var checkpointOptions: CheckpointOptions {
        CheckpointOptions(
            imageSize: imageSize, visionHeadCount: visionHeads, promptTemplate: template, layout: layout, seed: seed)
    }

    /// Opens a whole checkpoint, or a backbone with the parts given here, and passes on what the reader warns of.
    func open(checkpoint: String?, backbone: String?) throws -> CheckpointModel {
        let model = try CheckpointModel.open(
            CheckpointParts(
                checkpoint: checkpoint, backbone: backbone, vision: vision, crayon: crayon,
                adapters: adapter.compactMap(Self.split)),
            options: checkpointOptions)
        for warning in model.warnings { Output.warn(warning) }
        return model
    }

    private static func split(_ item: String) -> (name: String, path: String)? {
        let halves = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, !halves[0].isEmpty, !halves[1].isEmpty else { return nil }
        return (String(halves[0]), String(halves[1]))
    }
}

extension PromptTemplate {
    /// The built-in template that `--template` names; nil for none.
    static func named(_ name: String?) throws(CrayonError) -> PromptTemplate? {
        guard let name else { return nil }
        if let found = builtIn.first(where: { $0.name == name }) { return found }
        throw CrayonError(
            .usage, in: "--template", found: "'\(name)'",
            expected: "one of \(builtIn.map(\.name).joined(separator: ", "))")
    }
}
