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
        if FolderFiles.isFolder(path) {
            folder = try FolderFiles(path: path)
            stored = try openCheckpoint(folder: folder)
        } else {
            stored = try openCheckpoint(path)
            folder = try FolderFiles(containing: path)
        }
        // A crayon file has no config.json of its own; one beside it belongs to something else.
        var config: JSONReader?
        if kind != .crayon, let file = try folder.path(of: "config.json") { config = try JSONReader(file: file) }
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
        description = try layout.describe(context)
    }

    /// A small file beside the tensors, as JSON.
    func reader(_ name: String) throws(CrayonError) -> JSONReader? {
        guard let path = try folder.path(of: name) else { return nil }
        return try JSONReader(file: path)
    }
}
