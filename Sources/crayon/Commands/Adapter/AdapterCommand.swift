import ArgumentParser

struct AdapterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adapter",
        abstract: "List, merge, extract, convert and edit low-rank adapters.",
        discussion: """
            An ADAPTER is a PEFT folder, a set in a bundle (model.crayon:NAME), or the pairs in a published checkpoint \
            (CHECKPOINT:image).

            Examples:
              crayon adapter list model.crayon
              crayon adapter merge model.crayon DIR -o merged.crayon
              crayon adapter extract --base BASE --tuned TUNED -o DIR --rank 64
            """,
        subcommands: [
            AdapterList.self, AdapterAdd.self, AdapterReplace.self, AdapterRemove.self, AdapterMergeCommand.self,
            AdapterExtract.self, AdapterConvert.self, AdapterCompare.self, AdapterCombine.self, AdapterInit.self,
        ]
    )
}
