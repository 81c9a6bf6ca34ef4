import ArgumentParser

struct AdapterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapter",
        abstract: "List, merge, extract, convert and edit low-rank adapters.",
        discussion: """
            An ADAPTER is a PEFT folder, a set in a bundle (model.crayon:NAME), or the pairs in a published checkpoint \
            (CHECKPOINT:image).
            """,
        subcommands: [
            AdapterList.self, AdapterAdd.self, AdapterReplace.self, AdapterRemove.self, AdapterMergeCommand.self,
            AdapterExtract.self, AdapterConvert.self, AdapterCompare.self, AdapterCombine.self, AdapterInit.self,
        ]
    )
}
