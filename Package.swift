// swift-tools-version: 6.3
//
// One target per layer; a target imports only from layers below it, or from a sibling
// that is listed in its dependencies. SwiftPM does not enforce the direction (an undeclared
// import of a module that happens to be built compiles), so `LayeringTests` reads the
// import lines and holds them against `dependencies` here.
import PackageDescription

let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

/// A Swift target of the library with the house's settings.
func layer(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

/// A Swift Testing target named for the layer that it tests.
func tests(_ layer: String, _ dependencies: [Target.Dependency] = [], fixtures: Bool = false) -> Target {
    .testTarget(
        name: "\(layer)Tests",
        dependencies: [.byName(name: layer)] + dependencies,
        resources: fixtures ? [.copy("Fixtures")] : [],
        swiftSettings: swiftSettings
    )
}

let package = Package(
    name: "crayon",
    products: [
        .executable(name: "crayon", targets: ["crayon"]),
        .executable(name: "crayon-bench", targets: ["crayon-bench"]),
        .library(name: "CrayonKit", targets: ["CrayonKit"]),
        // Preloaded into the command by tests that count its allocations.
        .library(name: "CCounts", type: .dynamic, targets: ["CCounts"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        // Layer 0: C kernels and Debian's libraries.
        .target(name: "CKernels"),
        .target(
            name: "CSentencePiece",
            linkerSettings: [.linkedLibrary("sentencepiece"), .linkedLibrary("stdc++")]
        ),
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        // libpng and libjpeg report errors with longjmp, which must not cross Swift: hence C around them.
        .target(name: "CPNG", linkerSettings: [.linkedLibrary("png16")]),
        .target(name: "CJPEG", linkerSettings: [.linkedLibrary("jpeg")]),
        .systemLibrary(name: "CCairo", pkgConfig: "cairo", providers: [.apt(["libcairo2-dev"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

        // Layer 1: bytes, text, tensors, what a model consists of.
        layer("Bytes", ["CCrypto"]),
        layer("JSON", ["Bytes"]),
        layer("Tensors", ["Bytes"]),
        layer("Kernels", ["Bytes", "Tensors", "CKernels", "COpenBLAS"]),
        layer("Architecture", ["Tensors"]),

        // Layer 2: numbers and files.
        layer("LinearAlgebra", ["Bytes", "Tensors", "Kernels"]),
        layer("Quantization", ["Bytes", "JSON", "Tensors", "Kernels"]),
        layer("Tokenization", ["Bytes", "JSON", "CSentencePiece"]),
        layer(
            "Checkpoints",
            ["Bytes", "JSON", "Tensors", "Kernels", "Architecture", "Quantization", "Tokenization", "CZlib"]),
        layer(
            "BundleFormat",
            ["Bytes", "JSON", "Tensors", "Kernels", "Architecture", "Quantization", "Checkpoints", "CZstd"]),
        layer("Images", ["Bytes", "JSON", "Tensors", "Architecture", "CPNG", "CJPEG"]),

        layer("Plots", ["Bytes", "CCairo"]),
        layer("Collectives", ["Bytes", "Kernels"]),

        // Layer 3 and 4: the model.
        layer("Layers", ["Bytes", "Tensors", "Kernels", "Architecture", "Quantization"]),
        layer(
            "Models",
            ["Bytes", "Tensors", "Kernels", "Architecture", "Quantization", "Checkpoints", "Images", "Layers"]),

        // Layer 5 and 6: jobs.
        layer("Inference", ["Bytes", "Tensors", "Architecture", "Checkpoints", "Models", "Tokenization", "Images"]),
        layer(
            "Datasets",
            ["Bytes", "JSON", "Tensors", "Architecture", "Checkpoints", "Images", "Models", "Inference"]),
        layer(
            "Evaluation",
            [
                "Bytes", "Tensors", "Architecture", "Checkpoints", "Tokenization", "Images", "Plots", "Models",
                "Inference", "Datasets",
            ]),
        layer(
            "Conversion",
            [
                "Bytes", "JSON", "Tensors", "Kernels", "Architecture", "Quantization", "Tokenization", "Checkpoints",
                "BundleFormat", "Images", "Models",
            ]),
        layer(
            "Adapters",
            [
                "Bytes", "JSON", "Tensors", "Kernels", "Architecture", "LinearAlgebra", "Quantization", "Checkpoints",
                "BundleFormat", "Models", "Conversion",
            ]),
        layer(
            "Training",
            [
                "Bytes", "JSON", "Tensors", "Kernels", "Architecture", "Quantization", "Checkpoints", "BundleFormat",
                "Tokenization", "Plots", "Collectives", "Layers", "Models", "Inference", "Datasets", "Evaluation",
                "Adapters",
            ]),
        layer(
            "Verification",
            [
                "Bytes", "JSON", "Tensors", "Kernels", "Architecture", "Quantization", "Checkpoints", "BundleFormat",
                "Tokenization", "Images", "Layers", "Models", "Inference",
            ]),

        layer(
            "Benchmarking",
            [
                "Bytes", "Tensors", "Kernels", "Architecture", "Quantization", "Checkpoints", "BundleFormat", "Layers",
                "Models", "Conversion",
            ]),

        // Layer 7: faces. `CrayonKit` is what a Swift program imports; `crayon` is the command, `crayon-bench` times it all.
        layer(
            "CrayonKit",
            [
                "Bytes", "JSON", "Tensors", "Kernels", "Architecture", "LinearAlgebra", "Quantization", "Checkpoints",
                "BundleFormat", "Tokenization", "Images", "Plots", "Collectives", "Layers", "Models", "Inference",
                "Datasets",
                "Evaluation", "Conversion", "Adapters", "Training", "Verification", "Benchmarking",
            ]),
        .executableTarget(
            name: "crayon",
            dependencies: [
                "CrayonKit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings
        ),
        .executableTarget(
            name: "crayon-bench",
            dependencies: [
                "CrayonKit",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings
        ),

        tests("Bytes"),
        tests("JSON", ["Bytes"]),
        tests("Tensors", ["Bytes"]),
        tests("Kernels", ["Bytes", "Tensors"]),
        tests("Architecture", ["Tensors"]),
        tests("LinearAlgebra", ["Bytes", "Kernels", "Tensors"]),
        tests("Quantization", ["Bytes", "JSON", "Tensors", "Kernels", "Checkpoints"], fixtures: true),
        tests("Checkpoints", ["Architecture", "Bytes", "JSON", "Quantization", "Tensors", "Tokenization"]),
        tests("BundleFormat", ["Architecture", "Bytes", "Checkpoints", "JSON", "Quantization", "Tensors"]),
        tests("Layers", ["Architecture", "Bytes", "Kernels", "Quantization", "Tensors"]),
        tests("Tokenization", ["Bytes"], fixtures: true),
        tests("Images", ["Architecture", "Bytes"], fixtures: true),
        tests("Plots", ["Bytes"]),
        tests("Collectives", ["Bytes"]),
        tests(
            "Models", ["Bytes", "Tensors", "Kernels", "Architecture", "Quantization", "Checkpoints", "Layers", "JSON"]),
        tests("Inference", ["Bytes", "Architecture", "Checkpoints", "Tokenization", "Images", "Models"]),
        tests(
            "Datasets",
            [
                "Architecture", "Bytes", "Checkpoints", "Images", "Inference", "JSON", "Models", "Tensors",
                "Tokenization",
            ]),
        tests(
            "Evaluation",
            [
                "Architecture", "Bytes", "Checkpoints", "Datasets", "Images", "Inference", "Models", "Plots",
                "Tokenization",
            ]),
        tests(
            "Conversion",
            [
                "Architecture", "BundleFormat", "Bytes", "Checkpoints", "JSON", "Kernels", "Models", "Quantization",
                "Tensors", "Tokenization",
            ]),
        tests(
            "Adapters",
            [
                "Architecture", "BundleFormat", "Bytes", "Checkpoints", "Conversion", "JSON", "Kernels",
                "LinearAlgebra", "Models", "Quantization", "Tensors",
            ],
            fixtures: true),
        tests(
            "Verification",
            ["Architecture", "BundleFormat", "Bytes", "Checkpoints", "Conversion", "Models", "Quantization", "Tensors"]),
        tests(
            "Training",
            ["Architecture", "Bytes", "Checkpoints", "Collectives", "JSON", "Kernels", "Layers", "Models", "Tensors"],
            fixtures: true
        ),
        tests(
            "Benchmarking",
            ["Architecture", "Bytes", "Checkpoints", "Tensors"]),
        .target(name: "CCounts", path: "Tests/CCounts"),
        // The library as a program sees it.
        .testTarget(name: "LibraryTests", dependencies: ["CrayonKit"], swiftSettings: swiftSettings),
        // Run the built command, which `swift build --build-tests` puts beside them.
        .testTarget(
            name: "CommandTests", dependencies: ["crayon"], exclude: ["Fixtures"], swiftSettings: swiftSettings),
        .testTarget(name: "LayeringTests", swiftSettings: swiftSettings),
    ],
    cxxLanguageStandard: .cxx17
)
