import ArgumentParser

struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Look at data to learn from.",
        discussion: """
            Examples:
              crayon data preview --coco coco -o preview
            """,
        subcommands: [DataPreviewCommand.self, DataBatchesCommand.self]
    )
}
