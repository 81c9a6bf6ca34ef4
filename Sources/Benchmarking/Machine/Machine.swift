import Foundation
import Kernels

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What a run was made on.
public struct Machine: Codable, Sendable {
    public let processor: String
    public let cores: Int
    public let memoryBytes: Int
    /// Of the last level.
    public let cacheBytes: Int
    /// The instruction set of our kernels.
    public let kernels: String
    /// The processor whose kernels OpenBLAS uses, by its name for it.
    public let blas: String
    /// Over the last minute, when this was made.
    public let load: Double

    /// The machine as it is now.
    public static var current: Machine {
        Machine(
            processor: processorName, cores: setting(_SC_NPROCESSORS_ONLN) ?? 1, memoryBytes: memoryBytes,
            cacheBytes: lastLevelCache, kernels: KernelVariant.active.rawValue, blas: BLAS.coreName,
            load: loadAverage)
    }

    static let memoryBytes = (setting(_SC_PHYS_PAGES) ?? 0) * (setting(_SC_PAGESIZE) ?? 0)

    /// Over the last minute.
    public static var loadAverage: Double {
        var load = 0.0
        return getloadavg(&load, 1) == 1 ? load : 0
    }

    /// Bytes of the largest cache that a core uses; what a large one has where the system does not tell.
    static let lastLevelCache: Int = {
        let caches = "/sys/devices/system/cpu/cpu0/cache"
        let sizes = (0..<8).compactMap { index -> Int? in
            let text = try? String(contentsOfFile: "\(caches)/index\(index)/size", encoding: .utf8)
            return text.flatMap { Int($0.prefix(while: \.isNumber)) }.map { $0 << 10 }
        }
        return sizes.max() ?? 32 << 20
    }()

    private static var processorName: String {
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8) else { return "unknown" }
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") || $0.hasPrefix("Model") }
        let name = line?.split(separator: ":", maxSplits: 1).last
        return name.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
    }

    private static func setting(_ name: some BinaryInteger) -> Int? {
        let value = sysconf(Int32(truncatingIfNeeded: name))
        return value > 0 ? value : nil
    }
}
