import Architecture
import Bytes
import Checkpoints
import Quantization
import Tensors

/// The check at open that manifest and tensors hold together: every tensor accounted for exactly once, every
/// type, shape and place as the codings say, every parameter of the model there.
struct BundleStructure {
    let file: SafetensorsFile
    let manifest: BundleManifest
    /// Every weight that is used where it lies: all but the packed ones.
    private(set) var mapped: [Role: StoredWeight] = [:]
    private(set) var probes: [BundleProbe] = []
    private var claimed: Set<String> = []

    init(file: SafetensorsFile, manifest: BundleManifest) {
        self.file = file
        self.manifest = manifest
    }

    private func failure(_ item: String, _ found: String, _ expected: String? = nil) -> CrayonError {
        failure(.malformed, item, found, expected)
    }

    private func failure(
        _ code: CrayonError.Code, _ item: String, _ found: String, _ expected: String? = nil
    ) -> CrayonError {
        CrayonError(code, in: file.place, item: item, found: found, expected: expected)
    }

    mutating func run() throws(CrayonError) {
        guard file.dataOffset.isMultiple(of: BundleHeader.dataAlignment) else {
            throw failure(
                "header", "data that begin at byte \(file.dataOffset)", "a multiple of \(BundleHeader.dataAlignment)")
        }
        for weight in manifest.weights { try check(weight) }
        try checkModel()
        for name in manifest.files { try checkFile(name) }
        for probe in manifest.probes { try checkProbe(probe) }
        try checkTensors()
    }

    private mutating func claim(_ name: String) throws(CrayonError) -> Tensor {
        guard let tensor = file.tensor(name) else {
            throw failure(.missing, "tensor '\(name)'", "nothing", "a tensor that the manifest names")
        }
        guard claimed.insert(name).inserted else {
            throw failure("tensor '\(name)'", "two uses in the manifest", "one")
        }
        return tensor
    }

    private mutating func check(_ weight: BundleWeight) throws(CrayonError) {
        let item = "weight '\(weight.role)'"
        if let problem = weight.coding.problem { throw failure(item, problem) }
        guard !BundleNames.isReserved(weight.name) else { throw failure(item, "the reserved name '\(weight.name)'") }
        guard weight.role.part == weight.part else {
            throw failure(item, "part '\(weight.part.rawValue)'", "the one that the role begins with")
        }
        guard weight.origin.isEmpty || BundleNames.isSafePath(weight.origin) else {
            throw failure(item, "origin '\(weight.origin)'", "a path below a folder")
        }
        for component in weight.coding.components {
            let name = weight.name + component.suffix
            let tensor = try claim(name)
            guard tensor.type == component.type else {
                throw failure("tensor '\(name)'", "type \(tensor.type.rawValue)", component.type.rawValue)
            }
            if let shape = component.shape {
                guard tensor.shape == shape else {
                    throw failure("tensor '\(name)'", "shape \(tensor.shape)", "\(shape)")
                }
            } else if tensor.shape.rank != 1 {
                throw failure("tensor '\(name)'", "shape \(tensor.shape)", "a vector of bytes")
            }
            if component.isAligned, let range = file.range(of: name),
                !range.lowerBound.isMultiple(of: BundleHeader.tensorAlignment)
            {
                throw failure(
                    "tensor '\(name)'", "data at byte \(range.lowerBound)",
                    "a multiple of \(BundleHeader.tensorAlignment)")
            }
        }
        try open(weight)
    }

    /// Puts the weight together; a quantized weight's own description must say what the manifest says.
    private mutating func open(_ weight: BundleWeight) throws(CrayonError) {
        let file = self.file
        func find(_ name: String) throws(CrayonError) -> Tensor? { file.tensor(name) }
        let coding = weight.coding
        try checkQuantState(of: weight)
        let stored: StoredWeight
        let blockSize: Int
        var nestedBlockSize: Int?
        switch coding.kind {
        case .packed:
            return
        case .plain:
            if let tensor = file.tensor(weight.name) { mapped[weight.role] = .dense(tensor) }
            return
        case .nf4, .fp4:
            let tensor = try NF4Tensor(named: weight.name, place: file.place, find: find)
            blockSize = tensor.blockSize
            if case .double(let scales) = tensor.scales { nestedBlockSize = scales.nestedBlockSize }
            stored = .nf4(tensor)
        case .int8:
            let tensor = try Int8Tensor(named: weight.name, place: file.place, find: find)
            blockSize = tensor.blockSize
            stored = .int8(tensor)
        }
        guard stored.shape.dims == coding.shape, stored.sourceType == coding.type, blockSize == coding.blockSize,
            nestedBlockSize == coding.nestedBlockSize
        else {
            throw failure(
                .mismatch, "tensor '\(weight.name)\(coding.quantStateSuffix ?? "")'",
                "another coding than the manifest's")
        }
        mapped[weight.role] = stored
    }

    /// Opening believes the text that describes a quantized weight, so it is held against its digest first: damage
    /// in it would else show as a fault of the codes or the scales.
    private func checkQuantState(of weight: BundleWeight) throws(CrayonError) {
        guard let suffix = weight.coding.quantStateSuffix, let tensor = file.tensor(weight.name + suffix) else {
            return
        }
        let hasher = SHA256Hasher()
        hasher.update(tensor.region.buffer)
        guard hasher.finish().description == manifest.digests[tensor.name] else {
            throw CrayonError(
                .corrupt, in: file.place, item: "tensor '\(tensor.name)'",
                found: "a digest that is not the one in the manifest",
                advice: "The file was damaged; make or copy it again, or try 'crayon repair'.")
        }
    }

    private func checkModel() throws(CrayonError) {
        var shapes: [Role: [Int]] = [:]
        for weight in manifest.weights {
            guard shapes.updateValue(weight.coding.shape, forKey: weight.role) == nil else {
                throw failure("weight '\(weight.role)'", "two entries", "one")
            }
        }
        if let problem = manifest.model.problem { throw failure("manifest", problem) }
        for parameter in manifest.model.parameters {
            guard let shape = shapes.removeValue(forKey: parameter.role) else {
                if parameter.isRequired {
                    throw failure(
                        .missing, "weight '\(parameter.role)'", "nothing", "a weight of shape \(parameter.shape)")
                }
                continue
            }
            guard shape == parameter.shape.dims else {
                throw failure(.mismatch, "weight '\(parameter.role)'", "shape \(shape)", "\(parameter.shape)")
            }
        }
        if let role = shapes.keys.map(\.rawValue).min() {
            throw failure(.mismatch, "weight '\(role)'", "a role that the model does not have")
        }
    }

    private mutating func checkFile(_ name: String) throws(CrayonError) {
        guard BundleNames.isSafePath(name) else {
            throw failure("file '\(name)'", "a name that is no path below a folder")
        }
        let tensor = try claim(BundleNames.file(name))
        guard tensor.type == .u8, tensor.shape.rank == 1 else {
            throw failure("file '\(name)'", "\(tensor.type.rawValue) \(tensor.shape)", "a vector of bytes")
        }
    }

    private mutating func checkProbe(_ entry: BundleProbeEntry) throws(CrayonError) {
        var tensors: [String: Tensor] = [:]
        for field in entry.fields { tensors[field] = try claim(BundleNames.probe(entry.name, field)).named(field) }
        probes.append(try BundleProbe(name: entry.name, tensors: tensors, in: file.place))
    }

    /// What is left is padding, and every tensor has a digest.
    private func checkTensors() throws(CrayonError) {
        for name in file.names {
            guard let digest = manifest.digests[name] else {
                throw failure(.missing, "tensor '\(name)'", "no digest in the manifest")
            }
            guard SHA256Digest(hex: digest) != nil else {
                throw failure("tensor '\(name)'", "a digest that is not 64 hexadecimal digits")
            }
            if claimed.contains(name) { continue }
            guard name.hasPrefix(BundleNames.paddingPrefix), let tensor = file.tensor(name), tensor.type == .u8,
                tensor.shape.count < BundleHeader.tensorAlignment, tensor.region.buffer.allSatisfy({ $0 == 0 })
            else {
                throw failure("tensor '\(name)'", "a tensor that the manifest does not account for")
            }
        }
        guard manifest.digests.count == file.names.count else {
            let names = Set(file.names)
            let name = manifest.digests.keys.filter { !names.contains($0) }.min() ?? ""
            throw failure(.missing, "tensor '\(name)'", "a digest without its tensor")
        }
    }
}
