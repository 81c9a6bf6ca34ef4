import Quantization
import Synchronization

/// A dense weight that becomes int16 when it is first used, and is let go then.
final class Int16Conversion: Sendable {
    private enum State: Sendable {
        case pending(StoredWeight, WeightArrival?)
        case made(Int16Strips)
    }

    private let state: Mutex<State>

    /// - Parameter arrival: of a weight that is still on its way.
    init(_ weight: StoredWeight, arrival: WeightArrival?) { state = Mutex(.pending(weight, arrival)) }

    /// Waits for the weight and converts it, on all cores, where nobody has.
    var strips: Int16Strips {
        state.withLock { state in
            switch state {
            case .made(let strips): return strips
            case .pending(let weight, let arrival):
                arrival?.wait()
                let strips = Int16Strips(weight)
                state = .made(strips)
                return strips
            }
        }
    }
}
