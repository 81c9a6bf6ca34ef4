import ArgumentParser
import CrayonKit

/// Where a COCO panoptic data set lies.
struct COCOOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "MS-COCO 2017's folder, a folder with panoptic.json, or a panoptic JSON file; Formats/coco.md.",
            valueName: "path"))
    var coco: String?

    @Option(name: .long, help: ArgumentHelp("Which half of MS-COCO 2017: train or val.", valueName: "half"))
    var split: String?

    @Option(name: .long, help: ArgumentHelp("The folder of COCO's pictures, where it is another.", valueName: "dir"))
    var cocoImages: String?

    func validate() throws {
        if let split, COCOLayout.Split(rawValue: split) == nil {
            throw ValidationError("--split \(split); expected train or val")
        }
        if coco == nil, split != nil || cocoImages != nil {
            throw ValidationError("--split and --coco-images go with --coco.")
        }
    }

    func layout(split other: COCOLayout.Split = .train) throws -> COCOLayout? {
        let half = split.flatMap(COCOLayout.Split.init) ?? other
        return try coco.map { try COCOLayout(path: $0, split: half, images: cocoImages) }
    }
}

/// What there is to learn from.
struct DataOptions: ParsableArguments {
    @OptionGroup var cocoOptions: COCOOptions

    @Option(
        name: .long, help: ArgumentHelp("Conversations in LLaVA's form; Formats/conversations.md.", valueName: "file"))
    var conversations: String?

    @Option(name: .long, help: ArgumentHelp("The folder of the conversations' pictures.", valueName: "dir"))
    var images: String?

    @Option(name: .long, help: ArgumentHelp("Text as JSON lines; Formats/text-lines.md.", valueName: "file"))
    var text: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Draw examples in proportion: conversations=2, coco=1, text=1. By default each source is gone through once.",
            valueName: "source=n"))
    var share: [String] = []

    @Flag(name: .long, help: "Use --coco for the conversations' maps alone.")
    var mapsOnly = false

    @Option(
        name: .long, help: ArgumentHelp("Crayon instructions about one picture, as one conversation.", valueName: "n"))
    var questionsPerPicture = 1

    func validate() throws {
        if images != nil, conversations == nil { throw ValidationError("--images goes with --conversations.") }
        if mapsOnly, conversations == nil || cocoOptions.coco == nil {
            throw ValidationError("--maps-only goes with --conversations and --coco.")
        }
        if questionsPerPicture < 1 {
            throw ValidationError("--questions-per-picture \(questionsPerPicture); expected at least 1")
        }
        _ = try shares()
    }

    /// - Parameter seed: of what instructions ask.
    func sources(seed: UInt64) throws -> DataSources {
        guard cocoOptions.coco != nil || conversations != nil || text != nil else {
            throw ValidationError("No data; give --coco, --conversations or --text.")
        }
        return DataSources(
            coco: try cocoOptions.layout(), conversations: conversations, images: images, text: text,
            instructions: .init(questionsPerPicture: questionsPerPicture, seed: seed), mapsOnly: mapsOnly,
            shares: try shares())
    }

    private func shares() throws -> [DataSources.Source: Double] {
        var shares: [DataSources.Source: Double] = [:]
        for item in share {
            let halves = item.split(separator: "=", maxSplits: 1).map(String.init)
            guard halves.count == 2, let source = DataSources.Source(rawValue: halves[0]),
                let number = Double(halves[1]),
                number > 0, number.isFinite, shares[source] == nil
            else {
                throw ValidationError("--share \(item); expected conversations=N, coco=N or text=N, each once")
            }
            shares[source] = number
        }
        return shares
    }
}
