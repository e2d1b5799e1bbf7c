"""The untrusted side of Reptarium: zygote, workers, language layer, kernel layer.

Nothing in here imports ``pool``, trio or a network library.
"""
