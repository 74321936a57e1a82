// amplitude_loader: Any real or complex vector as amplitudes, by uniformly controlled rotations.
// Source: Möttönen et al., quant-ph/0407010, figures 2 and 4
// Options: num_qubits=3, phases=False
// Qubits (q[0] is the least significant): data q[0], q[1], q[2]; ancilla none
// Parameters in radians, as declared: 0 weights w_..., 7 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_0000;
input float[64] x_0001;
input float[64] x_0002;
input float[64] x_0003;
input float[64] x_0004;
input float[64] x_0005;
input float[64] x_0006;
qubit[3] q;
ry(x_0000) q[2];
ry(x_0001) q[1];
cx q[2], q[1];
ry(x_0002) q[1];
cx q[2], q[1];
ry(x_0003) q[0];
cx q[1], q[0];
ry(x_0004) q[0];
cx q[2], q[0];
ry(x_0005) q[0];
cx q[1], q[0];
ry(x_0006) q[0];
cx q[2], q[0];
