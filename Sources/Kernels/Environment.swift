#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What the kernels read from the environment, once.
enum Environment {
    static func value(_ name: String) -> String? {
        guard let text = getenv(name), text.pointee != 0 else { return nil }
        return String(cString: text)
    }

    static let threads: Int? = value("CRAYON_THREADS").flatMap(Int.init).flatMap { $0 > 0 ? $0 : nil }
}
