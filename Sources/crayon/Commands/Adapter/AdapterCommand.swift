import ArgumentParser

struct AdapterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapter",
        abstract: "List, convert, compare, combine, extract and begin low-rank adapters.",
        discussion: """
            An ADAPTER is a PEFT folder, a set in a bundle (model.crayon:NAME), or the pairs in a published checkpoint \
            (CHECKPOINT:image).
            """,
        subcommands: [
            AdapterList.self, AdapterConvert.self, AdapterCompare.self, AdapterCombine.self, AdapterExtract.self,
            AdapterInit.self,
        ]
    )
}
