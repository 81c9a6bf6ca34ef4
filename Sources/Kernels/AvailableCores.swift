#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// How many cores this process may use.
public enum AvailableCores {
    /// Those that are online, that the process is bound to (`taskset`, a container's cpuset), and for which its control groups
    /// leave it time; at least 1.
    public static let count: Int = {
        var count = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        #if os(Linux)
            if let bound = boundCores(status: text("/proc/self/status") ?? "") { count = min(count, bound) }
            if let quota = quotaCores(groups: text("/proc/self/cgroup") ?? "", root: "/sys/fs/cgroup") {
                count = min(count, quota)
            }
        #endif
        return max(1, count)
    }()

    /// The cores that a process is bound to.
    /// - Parameter status: what `/proc/self/status` says: the line `Cpus_allowed` is a mask in hexadecimal.
    public static func boundCores(status: String) -> Int? {
        let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed:") }
        let mask = line?.split(separator: ":").last?.filter { $0 != "," && !$0.isWhitespace } ?? ""
        var count = 0
        for digit in mask {
            guard let value = digit.hexDigitValue else { return nil }
            count += value.nonzeroBitCount
        }
        return count > 0 ? count : nil
    }

    /// The least quota of a process's control groups, rounded up to whole cores: a thread that is held up now and then does more
    /// than one that is not there. Nil where there is none.
    /// - Parameters:
    ///   - groups: what `/proc/self/cgroup` says: lines of `id:controllers:path`, of which version 2 has one, without controllers.
    ///   - root: where the groups' folders are.
    public static func quotaCores(groups: String, root: String) -> Int? {
        var least: Double?
        for line in groups.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3 else { continue }
            let isUnified = parts[0] == "0" && parts[1].isEmpty
            guard isUnified || parts[1].split(separator: ",").contains("cpu") else { continue }
            let base = isUnified ? root : "\(root)/\(parts[1])"
            // A group is bound by those above it, too.
            var path = parts[2].split(separator: "/").map(String.init)
            while true {
                let folder = ([base] + path).joined(separator: "/")
                let quota = isUnified ? unifiedQuota(folder) : quota(folder)
                if let quota { least = min(least ?? quota, quota) }
                if path.isEmpty { break }
                path.removeLast()
            }
        }
        return least.map { max(1, Int($0.rounded(.up))) }
    }

    /// Version 2: `cpu.max` holds quota and period in microseconds, `max` for none.
    private static func unifiedQuota(_ folder: String) -> Double? {
        let words = text("\(folder)/cpu.max")?.split { $0 == " " || $0 == "\n" } ?? []
        guard words.count == 2 else { return nil }
        return share(String(words[0]), String(words[1]))
    }

    /// Version 1: each in a file of its own, -1 for none.
    private static func quota(_ folder: String) -> Double? {
        guard let quota = text("\(folder)/cpu.cfs_quota_us"), let period = text("\(folder)/cpu.cfs_period_us") else {
            return nil
        }
        return share(String(quota.prefix { $0 != "\n" }), String(period.prefix { $0 != "\n" }))
    }

    private static func share(_ quota: String, _ period: String) -> Double? {
        guard let quota = Double(quota), let period = Double(period), quota > 0, period > 0 else { return nil }
        let cores = quota / period
        return cores < 1e6 ? cores : nil
    }

    /// A small file; nil where there is none.
    private static func text(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
