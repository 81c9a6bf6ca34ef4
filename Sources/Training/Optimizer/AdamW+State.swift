public import Bytes
import Models
public import Tensors

extension AdamW {
    /// A tensor of the states.
    public struct State: Sendable {
        /// `m` and `v`, or `state1`, `absmax1`, `state2` and `absmax2`, which are bitsandbytes' names.
        public let part: String
        /// Named `ROLE.PART`. It shares the optimizer's memory: the next update changes it.
        public let tensor: Tensor
    }

    public var states: [State] {
        zip(learned.tensors, moments).flatMap { tensor, moments in
            moments.parts.map { part in
                State(
                    part: part.name,
                    tensor: Tensor(
                        name: "\(tensor.role).\(part.name)", type: part.type,
                        shape: Shape([part.bytes.count / part.type.byteCount]),
                        region: ByteRegion(owner: part.owner, buffer: UnsafeRawBufferPointer(part.bytes))))
            }
        }
    }

    /// Goes on from recorded states.
    /// - Parameter find: the tensor of a name.
    /// - Throws: `CrayonError` naming the tensor that is missing, or is of another type or size.
    public func restore(
        updates: Int, from place: String, find: (String) throws(CrayonError) -> Tensor?
    ) throws(CrayonError) {
        for (tensor, moments) in zip(learned.tensors, moments) {
            for part in moments.parts {
                let name = "\(tensor.role).\(part.name)"
                guard let found = try find(name) else {
                    throw CrayonError(
                        .missing, in: place, item: "tensor '\(name)'", found: "nothing",
                        expected: "a state of the optimizer '\(settings.states.rawValue)'")
                }
                guard found.type == part.type, found.region.count == part.bytes.count else {
                    throw CrayonError(
                        .mismatch, in: place, item: "tensor '\(name)'", found: "\(found.type.rawValue) \(found.shape)",
                        expected: "\(part.type.rawValue) [\(part.bytes.count / part.type.byteCount)]")
                }
                part.bytes.copyMemory(from: found.region.buffer)
            }
        }
        self.updates = updates
    }
}
