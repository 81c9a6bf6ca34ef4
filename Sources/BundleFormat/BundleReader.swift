public import Architecture
public import Bytes
public import Checkpoints
public import Quantization
public import Tensors

/// An opened bundle: a model whose weights can be asked for by role.
///
/// Everything that the header and the manifest say is checked once, at open, along with the header's
/// digest; after that no access can fail but for the contents of packed tensors, whose blocks are checked
/// as they are decoded. The digests of the data are the business of `verifyDigests`, which reads every byte.
public struct BundleReader: ModelSource {
    public let place: String
    public let manifest: BundleManifest
    public let files: [AuxiliaryFile]
    public let probes: [BundleProbe]
    /// The bundle as what it also is.
    public let safetensors: SafetensorsFile
    private let positions: [Role: Int]
    private let mapped: [Role: StoredWeight]

    /// - Throws: `CrayonError` for a file that cannot be read, is no bundle, is of another version, or does not hold
    ///   together; `.corrupt` when the header's digest is not the one that it states.
    public init(path: String) throws(CrayonError) {
        let file = try SafetensorsFile(path: path)
        let manifest = try BundleContents.readManifest(of: file)
        var check = BundleStructure(file: file, manifest: manifest)
        try check.run()
        place = path
        safetensors = file
        self.manifest = manifest
        mapped = check.mapped
        var positions: [Role: Int] = [:]
        for (index, weight) in manifest.weights.enumerated() { positions[weight.role] = index }
        self.positions = positions
        var files: [AuxiliaryFile] = []
        for name in manifest.files {
            if let tensor = file.tensor(BundleNames.file(name)) {
                files.append(AuxiliaryFile(name: name, region: tensor.region))
            }
        }
        self.files = files
        probes = check.probes
    }

    public var configuration: ModelConfiguration { manifest.model }

    public func checkUnchanged() throws(CrayonError) { try safetensors.checkUnchanged() }

    /// The digest that the header states and that was checked at open: with the tensors' digests in it, it stands for the file.
    public var digest: String { safetensors.metadata(BundleNames.digest) ?? "" }

    /// How a role's weight is stored; nil when the model has none.
    public func entry(_ role: Role) -> BundleWeight? { positions[role].map { manifest.weights[$0] } }

    /// A tensor of the file by its name in it: component, file or probe.
    public func tensor(_ name: String) -> Tensor? { safetensors.tensor(name) }

    /// The weight of a role. Plain and quantized weights lie in the mapped file; a packed one is decoded
    /// into memory of its own by every call, on all cores.
    public func weight(_ role: Role) throws(CrayonError) -> StoredWeight? {
        guard let entry = entry(role) else { return nil }
        if let weight = mapped[role] { return weight }
        return .dense(try unpack(entry))
    }

    /// A packed weight, to be decoded block by block; what its table says is checked here.
    public func deferredWeight(_ role: Role) throws(CrayonError) -> DeferredTensor? {
        guard let entry = entry(role), mapped[role] == nil else { return nil }
        return try PackedTensor.deferred(
            packed(entry).region, name: entry.name, type: entry.coding.type, shape: Shape(entry.coding.shape),
            blockElements: entry.coding.blockSize ?? 0, in: place)
    }

    private func unpack(_ entry: BundleWeight) throws(CrayonError) -> Tensor {
        try PackedTensor.decode(
            packed(entry).region, name: entry.name, type: entry.coding.type, shape: Shape(entry.coding.shape),
            blockElements: entry.coding.blockSize ?? 0, in: place)
    }

    private func packed(_ entry: BundleWeight) throws(CrayonError) -> Tensor {
        guard let tensor = safetensors.tensor(entry.name) else {
            throw CrayonError(.missing, in: place, item: "tensor '\(entry.name)'", found: "nothing")
        }
        return tensor
    }

    /// Asks the kernel to read a weight ahead of use.
    public func willNeed(_ role: Role) {
        guard let entry = entry(role) else { return }
        for component in entry.coding.components { safetensors.willNeed(entry.name + component.suffix) }
    }
}
