public import Bytes
import JSON

/// Opens a checkpoint, quantized weights put together.
/// - Parameter kinds: the codings to put together; tensors of others stay as they are.
/// - Throws: as `openCheckpoint`, and for quantized weights with missing or unfitting parts.
public func openWeights(
    _ path: String, kinds: Set<QuantizedCheckpoint.Kind> = Set(QuantizedCheckpoint.Kind.allCases)
) throws(CrayonError) -> any Checkpoint {
    let stored = try openCheckpoint(path)
    var configuration: JSONReader?
    if FolderFiles.isFolder(path), let file = try FolderFiles(path: path).path(of: "config.json") {
        configuration = try JSONReader(file: file).optionalObject("quantization_config")
    }
    return try QuantizedCheckpoint.reading(stored, configuration: configuration, kinds: kinds)
}

extension AuxiliaryFile {
    /// A config.json without its `quantization_config`: the weights beside it are not, or no longer, quantized in that way.
    public func withoutQuantization(in place: String) throws(CrayonError) -> AuxiliaryFile {
        let value = try JSONValue.parse(region, name: "\(place): \(name)", limits: .init(depth: 64))
        guard case .object(var config) = value, config["quantization_config"] != nil else { return self }
        config["quantization_config"] = nil
        let text = JSONValue.object(config).text(style: .pretty(indent: 2)) + "\n"
        return AuxiliaryFile(name: name, region: ByteRegion(copying: Array(text.utf8)))
    }
}
