import ArgumentParser
import CrayonKit

/// What `add`, `replace` and `remove` have in common.
private func edit(
    _ bundle: String, to output: String, kind: String, common: CommonOptions,
    _ change: (inout BundleRewrite) throws -> [(name: String, adapter: Adapter?)]
) throws {
    common.apply()
    let reader = try BundleReader(path: bundle)
    var rewrite = BundleRewrite(reader)
    let changed = try change(&rewrite)
    if !rewrite.keepsProbes, !reader.probes.isEmpty {
        Output.warn("recorded answers are left out: the new model is another than the one that gave them")
    }
    let display = ProgressDisplay(quiet: common.quiet || common.json)
    let manifest = try rewrite.write(
        to: output, kind: kind, sets: changed, progress: { display.update(label: $0, done: $1, total: $2) })
    display.finish()
    let sets = manifest.model.lowRankSets.map(\.name)
    if common.json { return Output.print(try Output.json(["output": [output], "sets": sets])) }
    if !common.quiet {
        Output.print("\(output): " + (sets.isEmpty ? "no sets" : "sets " + sets.joined(separator: ", ")))
    }
}

/// `NAME=ADAPTER` taken apart.
private func assignment(_ text: String) throws(CrayonError) -> (name: String, adapter: Adapter) {
    let halves = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard halves.count == 2, !halves[0].isEmpty, !halves[1].isEmpty else {
        throw CrayonError(.usage, in: "argument", found: "'\(text)'", expected: "NAME=ADAPTER, as in vl=DIR")
    }
    return (String(halves[0]), try openAdapter(String(halves[1])))
}

struct AdapterAdd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Put adapters into a bundle as sets of their own.",
        discussion: """
            Examples:
              crayon adapter add model.crayon vl=DIR -o out.crayon
              crayon adapter add model.crayon vl=other.crayon:vl --inactive -o out.crayon
            """
    )

    @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle")) var bundle: String
    @Argument(help: ArgumentHelp("Name of the set and the adapter.", valueName: "name=adapter")) var adapters: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write.", valueName: "file")) var output: String
    @Flag(name: .long, help: "The sets act only when asked to.") var inactive = false
    @OptionGroup var common: CommonOptions

    func run() throws {
        try edit(
            bundle, to: output, kind: "add", common: common
        ) {
            rewrite in
            try adapters.map { text in
                let (name, adapter) = try assignment(text)
                try rewrite.add(adapter, as: name, isActive: !inactive)
                return (name, adapter)
            }
        }
    }
}

struct AdapterReplace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replace",
        abstract: "Put an adapter in the place of a bundle's set.",
        discussion: """
            Examples:
              crayon adapter replace model.crayon vl=DIR -o out.crayon
            """
    )

    @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle")) var bundle: String
    @Argument(help: ArgumentHelp("Name of the set and the adapter.", valueName: "name=adapter")) var adapters: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write.", valueName: "file")) var output: String
    @OptionGroup var common: CommonOptions

    func run() throws {
        try edit(
            bundle, to: output, kind: "replace", common: common
        ) { rewrite in
            try adapters.map { text in
                let (name, adapter) = try assignment(text)
                try rewrite.replaceSet(name, with: adapter)
                return (name, adapter)
            }
        }
    }
}

struct AdapterRemove: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Take sets out of a bundle.",
        discussion: """
            Examples:
              crayon adapter remove model.crayon vl -o out.crayon
            """
    )

    @Argument(help: ArgumentHelp("The bundle.", valueName: "bundle")) var bundle: String
    @Argument(help: ArgumentHelp("Names of sets.", valueName: "name")) var names: [String]

    @Option(name: .shortAndLong, help: ArgumentHelp("The bundle to write.", valueName: "file")) var output: String
    @OptionGroup var common: CommonOptions

    func run() throws {
        try edit(bundle, to: output, kind: "remove", common: common) { rewrite in
            for name in names { try rewrite.removeSet(name) }
            return names.map { ($0, nil) }
        }
    }
}
