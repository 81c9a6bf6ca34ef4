import Architecture
import Bytes
import JSON

/// One place that the user named, opened, recognised and described.
struct OpenedSource {
    let kind: CheckpointModel.Origin.Kind
    let place: String
    let checkpoint: any Checkpoint
    let folder: FolderFiles
    let layout: Layout
    let context: LayoutContext
    let description: PartDescription

    /// - Parameter contents: what the place may hold.
    init(
        _ path: String, kind: CheckpointModel.Origin.Kind, contents: Set<Layout.Content>, options: CheckpointOptions
    ) throws(CrayonError) {
        let stored: any Checkpoint
        var warnings: [String] = []
        let opened = try openCheckpoint(path)
        if let file = opened as? GGUFFile {
            // Everything is in the file; what lies beside it belongs to something else.
            let model = try GGUFModel(file)
            stored = model
            folder = FolderFiles(of: path, made: model.files)
            warnings = model.warnings
        } else {
            stored = opened
            folder = try FolderFiles.isFolder(path) ? FolderFiles(path: path) : FolderFiles(containing: path)
        }
        // A crayon file has no config.json of its own; one beside it belongs to something else.
        var config: JSONReader?
        if kind != .crayon { config = try folder.reader("config.json") }
        checkpoint = try QuantizedCheckpoint.reading(
            stored, configuration: config?.optionalObject("quantization_config"))
        if let name = options.layout, kind == .checkpoint || kind == .backbone {
            guard let named = Layout.named(name), contents.contains(named.content) else {
                let known = Layout.all.filter { contents.contains($0.content) }
                throw CrayonError(
                    .usage, in: "--layout", found: "'\(name)'",
                    expected: "one of " + known.map(\.name).joined(separator: ", "))
            }
            layout = named
        } else {
            layout = try Layout.recognise(checkpoint, config: config, contents: contents)
        }
        self.kind = kind
        place = path
        context = try LayoutContext(
            place: path, checkpoint: checkpoint, config: config, layout: layout, options: options)
        context.warnings += warnings
        description = try layout.describe(context)
    }

    /// A small file beside the tensors, as JSON.
    func reader(_ name: String) throws(CrayonError) -> JSONReader? {
        try folder.reader(name)
    }
}
