// angle_encoding: One value a wire as an angle of RX, RY, or H and RZ.
// Source: Schuld and Petruccione, Machine Learning with Quantum Computers
// Options: num_wires=4, axis=x
// Qubits (q[0] is the least significant): data q[0], q[1], q[2], q[3]; ancilla none
// Parameters in radians, as declared: 0 weights w_..., 4 inputs x_...
OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_0000;
input float[64] x_0001;
input float[64] x_0002;
input float[64] x_0003;
qubit[4] q;
rx(x_0000) q[3];
rx(x_0001) q[2];
rx(x_0002) q[1];
rx(x_0003) q[0];
