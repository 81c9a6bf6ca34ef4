// swift-tools-version: 6.3
//
// The fuzzers: a package of their own, because everything in it and below it is instrumented. `Scripts/fuzz` builds and runs it.
import PackageDescription

let package = Package(
    name: "fuzzing",
    dependencies: [.package(name: "crayon", path: "../..")],
    targets: [
        .executableTarget(
            name: "fuzzing",
            dependencies: [.product(name: "CrayonKit", package: "crayon")],
            swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]
        )
    ]
)
